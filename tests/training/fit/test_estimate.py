import shutil
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console

from tests.kit import networks, stripes
from training.data.dataset import Dataset, open_dataset, prepare
from training.fit import estimate
from training.fit.estimate import Estimate, announce, check_disk, left_of, table
from training.fit.fit import fit
from training.run.folder import Run, Source
from training.run.history import Epoch, write_epochs

STEPS = 4  # of an epoch: 32 chips in batches of 8
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def dataset(prepared: Run) -> Dataset:
    return open_dataset(prepared)


def test_only_what_is_left_counts(prepared: Run, dataset: Dataset) -> None:
    left = left_of(prepared, stripes.WHOLE, dataset)
    assert (left.views, left.fits, left.steps) == (0, 2, 2 * 6 * STEPS)
    write_epochs(prepared.epochs_path(stripes.WHOLE.name, 0), [Epoch(n, 1, 1, 1, 0) for n in (1, 2)])
    assert left_of(prepared, stripes.WHOLE, dataset).steps == (2 * 6 - 2) * STEPS
    prepared.fit_path(stripes.WHOLE.name, 1).touch()
    left = left_of(prepared, stripes.WHOLE, dataset)
    assert (left.fits, left.steps) == (1, 4 * STEPS)
    stopped = replace(prepared, config=replace(prepared.config, max_steps=9))
    assert left_of(stopped, stripes.WHOLE, dataset).steps == 9 - 2 * STEPS

    assert left_of(prepared, stripes.FROZEN, dataset).views == 8
    view = prepared.folder / "features" / stripes.FROZEN.name / "view3.npy"
    view.parent.mkdir(parents=True)
    view.touch()
    assert left_of(prepared, stripes.FROZEN, dataset).views == 7


def test_a_short_run_is_not_measured_and_a_long_one_is(
    prepared: Run, dataset: Dataset, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert [e.seconds for e in announce(prepared, dataset)] == [None, None]
    monkeypatch.setattr(estimate, "SHORT_PIXELS", 0)
    monkeypatch.setattr(estimate, "console", console := Console(width=120, record=True, quiet=False))
    found = announce(prepared, dataset)
    for entry in found:
        assert entry.seconds and entry.memory_bytes
        assert 0 < entry.seconds < 3600
        assert entry.memory_bytes > 50e6  # PyTorch alone
    text = console.export_text()
    assert stripes.FROZEN.name in text and stripes.WHOLE.name in text
    assert not list(prepared.folder.rglob("*.safetensors"))  # trying leaves nothing behind
    assert not (prepared.folder / "features").exists()
    assert [e.seconds for e in announce(prepared, dataset, measured=False)] == [None, None]


def test_disk_is_what_a_run_then_takes(prepared: Run, dataset: Dataset) -> None:
    frozen, whole = announce(prepared, dataset)
    graphs = [
        2 * 7.25 * sum(v.numel() for v in networks.fresh_net(prepared, m).state_dict().values())
        for m in (stripes.FROZEN, stripes.WHOLE)
    ]
    fit(prepared)
    for entry, member, graph in zip((frozen, whole), (stripes.FROZEN, stripes.WHOLE), graphs, strict=True):
        files = [*prepared.folder.glob(f"features/{member.name}/*.npy")]
        files += prepared.folder.glob(f"fits/{member.name}/*.safetensors")
        kept = sum(file.stat().st_size for file in files)
        assert entry.kept_bytes - graph == pytest.approx(kept, rel=0.15)
    assert announce(prepared, dataset) == []


def test_trying_changes_nothing_about_the_result(
    prepared: Run, dataset: Dataset, tiny_source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = replace(stripes.ONE_WHOLE, members=(replace(stripes.WHOLE, epochs=1, dropout=0.3),))
    weights = []
    for name, pixels in (("plain", 10**12), ("tried", 0)):
        monkeypatch.setattr(estimate, "SHORT_PIXELS", pixels)
        run = Run.start(tmp_path / name, short, tiny_source)
        prepare(run)
        fit(run)
        weights.append(run.need_fit(stripes.WHOLE.name, 1).read_bytes())
    assert weights[0] == weights[1]


def test_a_disk_that_is_too_small_is_refused(
    prepared: Run, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    estimates = [Estimate("a", 1, 3_000, 500), Estimate("b", 1, 1_000, 2_000)]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, 6_000))
    check_disk(prepared, estimates)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, 5_999))
    with pytest.raises(ValueError, match=r"needs 0.00 GB of disk, .* make room"):
        check_disk(prepared, estimates)
    with pytest.raises(ValueError, match="make room"):
        announce(prepared, dataset)
    assert not (prepared.folder / "features").exists()


def test_a_batch_too_large_for_the_gpu_says_so(
    prepared: Run, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(estimate, "SHORT_PIXELS", 0)
    monkeypatch.setattr(estimate, "train", full)
    with pytest.raises(ValueError, match="batch_size=16 does not fit"):
        announce(prepared, dataset)


def test_the_table_adds_up() -> None:
    console = Console(width=100, record=True)
    console.print(
        table([Estimate("a", 2, 10**9, 0, 60.0, 10**9), Estimate("b", 3, 2 * 10**9, 0, 7200.0, 10**9)])
    )
    last = [line for line in console.export_text().splitlines() if "all" in line][-1]
    assert "5" in last and "3.00 GB" in last and "2 h 01 min" in last
