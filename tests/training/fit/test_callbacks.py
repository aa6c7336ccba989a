from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
from rich.progress import Progress
from tensorboard.backend.event_processing.event_accumulator import (  # type: ignore[import-untyped]
    EventAccumulator,
)

from tests.kit import stripes
from training.data.dataset import prepare
from training.fit.fit import fit
from training.fit.inputs import ChipInputs, Rows
from training.run.folder import Run, Source
from training.run.history import Epoch, read_epochs, write_epochs

TAGS = ["data_share", "images_per_s", "learning_rate", "loss"]


@pytest.fixture
def run(tiny_source: Source, tmp_path: Path) -> Run:
    run = Run.start(tmp_path / "run", stripes.ONE_WHOLE, tiny_source)
    prepare(run)
    return run


def scalars(run: Run, tag: str) -> list[tuple[int, float]]:
    events = EventAccumulator(str(run.folder / "logs" / stripes.WHOLE.name / "fold0"))
    events.Reload()
    assert sorted(events.Tags()["scalars"]) == TAGS
    return [(event.step, event.value) for event in events.Scalars(tag)]


def test_rows_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "fold0.csv"
    assert read_epochs(path) == []
    epochs = [Epoch(1, 0.5, 1e-4, 13.25, 0.125), Epoch(2, 0.25, 1e-5, 14.0, 0.0)]
    write_epochs(path, epochs)
    assert read_epochs(path) == epochs
    assert path.read_text().splitlines()[0] == "epoch,loss,learning_rate,images_per_s,data_share"


def test_a_fit_leaves_a_row_for_each_epoch_here_and_for_tensorboard(run: Run) -> None:
    fit(run)
    for fold in range(stripes.CONFIG.folds):
        epochs = read_epochs(run.epochs_path(stripes.WHOLE.name, fold))
        assert [epoch.epoch for epoch in epochs] == [1, 2, 3, 4, 5, 6]
        assert epochs[-1].loss < epochs[0].loss
        rates = [epoch.learning_rate for epoch in epochs]
        assert rates == pytest.approx([3e-3, 3e-3, 3e-4, 3e-4, 3e-5, 3e-5])
        assert all(epoch.images_per_s > 0 and 0 <= epoch.data_share < 1 for epoch in epochs)
    first = read_epochs(run.epochs_path(stripes.WHOLE.name, 0))
    for tag in TAGS:
        steps, values = zip(*scalars(run, tag), strict=True)
        assert steps == (1, 2, 3, 4, 5, 6)
        assert values == pytest.approx([getattr(epoch, tag) for epoch in first], rel=1e-4)


def test_a_resumed_fit_has_every_epoch_once(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    original, made = ChipInputs.drawn, 0

    def drawn(self: ChipInputs, rows: Rows, generator: object) -> object:
        nonlocal made
        made += 1
        if made == 11:  # in the third epoch of four batches
            raise OSError("unplugged")
        return original(self, rows, generator)  # type: ignore[arg-type]

    stopped: list[int] = []
    monkeypatch.setattr(Progress, "stop", lambda self: stopped.append(1))
    monkeypatch.setattr(ChipInputs, "drawn", drawn)
    with pytest.raises(OSError, match="unplugged"):
        fit(run)
    assert stopped == [1]  # or the bar would go on over the error
    path = run.epochs_path(stripes.WHOLE.name, 0)
    before = read_epochs(path)
    assert [epoch.epoch for epoch in before] == [1, 2]
    # As after a kill between the third row and its checkpoint.
    write_epochs(path, [*before, replace(before[-1], epoch=3, loss=99.0)])
    fit(run)
    after = read_epochs(path)
    assert after[:2] == before
    assert [epoch.epoch for epoch in after] == [1, 2, 3, 4, 5, 6]
    assert after[2].loss < 99
    assert [step for step, _ in scalars(run, "loss")] == [1, 2, 3, 4, 5, 6]


def test_figures_are_of_the_clock(
    tiny_source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = replace(stripes.ONE_WHOLE, members=(replace(stripes.WHOLE, epochs=1),))
    run = Run.start(tmp_path / "run", short, tiny_source)
    prepare(run)
    monkeypatch.setattr("training.fit.prefetch.perf_counter", count(step=1).__next__)  # 1 s for each batch
    monkeypatch.setattr("training.fit.callbacks.perf_counter", count(step=10).__next__)  # 10 s for an epoch
    fit(run)
    epoch = read_epochs(run.epochs_path(stripes.WHOLE.name, 0))[0]
    assert epoch.images_per_s == pytest.approx(32 / 10)
    assert epoch.data_share == pytest.approx(4 * 1 / 10)
