"""Shape suffixes: N chips, L labels."""

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.kit import stripes
from training.config.schema import RunConfig
from training.data.dataset import Dataset, open_dataset, prepare
from training.fit.fit import fit
from training.fit.inputs import ChipInputs, Rows, inputs_of
from training.run.folder import Run, Source

KEPT = [f"fold{fold}.{suffix}" for fold in range(2) for suffix in ("csv", "safetensors")]


def start(folder: Path, source: Source, config: RunConfig = stripes.ONE_WHOLE) -> Run:
    run = Run.start(folder, config, source)
    prepare(run)
    return run


def weights(run: Run) -> dict[str, torch.Tensor]:
    """Every saved tensor of every fold."""
    return {
        f"{path.parent.name}/{path.stem}/{name}": tensor
        for path in sorted(run.folder.glob("fits/*/*.safetensors"))
        for name, tensor in load_file(path).items()
    }


def assert_same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    assert first
    assert [name for name in first if not torch.equal(first[name], second[name])] == []


@pytest.fixture(scope="module")
def undisturbed(tiny_source: Source, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A network trained whole, on both folds, in one go."""
    run = start(tmp_path_factory.mktemp("undisturbed"), tiny_source)
    fit(run)
    return run


@pytest.mark.parametrize("index", [0, 1], ids=["frozen", "whole"])
def test_training_lowers_the_loss_on_chips_it_did_not_see(
    trained: Run, tiny_dataset: Dataset, index: int
) -> None:
    member = stripes.CONFIG.members[index]
    inputs = inputs_of(trained, member, tiny_dataset)
    for fold in range(stripes.CONFIG.folds):
        rows = np.flatnonzero(tiny_dataset.folds_N == fold)
        targets_NL = torch.from_numpy(tiny_dataset.targets_NL[rows]).float()
        losses = []
        fresh = inputs.network(np.flatnonzero(tiny_dataset.folds_N != fold))
        for network in (fresh, inputs.restored(load_file(trained.need_fit(member.name, fold)))):
            with torch.inference_mode():
                logits_NL = network.eval()(inputs.seen(rows, 0))
            losses.append(torch.nn.functional.binary_cross_entropy_with_logits(logits_NL, targets_NL).item())
        assert losses[1] < 0.95 * losses[0]


def test_an_epoch_shows_each_chip_once_but_the_held_out_in_ever_new_order(
    tiny_source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = start(tmp_path, tiny_source, replace(stripes.ONE_WHOLE, max_steps=8))
    seen: list[Rows] = []
    original = ChipInputs.drawn

    def drawn(self: ChipInputs, rows: Rows, generator: torch.Generator) -> torch.Tensor:
        seen.append(rows)
        return original(self, rows, generator)

    monkeypatch.setattr(ChipInputs, "drawn", drawn)
    fit(run)
    folds_N = open_dataset(run).folds_N
    epochs = [np.concatenate(seen[start : start + 4]) for start in range(0, 16, 4)]
    assert len(seen) == 16  # two folds of two epochs of four batches
    for fold, rows in zip((0, 0, 1, 1), epochs, strict=True):
        np.testing.assert_array_equal(np.sort(rows), np.flatnonzero(folds_N != fold))
    for first, second in (epochs[:2], epochs[2:]):
        assert (first != second).any()


def test_a_head_is_all_that_is_kept_of_a_frozen_network(trained: Run) -> None:
    state = load_file(trained.need_fit(stripes.FROZEN.name, 0))
    assert set(state) == {"head.weight", "head.bias"}
    whole = load_file(trained.need_fit(stripes.WHOLE.name, 0))
    assert {name.partition(".")[0] for name in whole} == {"backbone", "head"}


def test_a_finished_fit_is_not_repeated(undisturbed: Run) -> None:
    paths = sorted(undisturbed.folder.glob("fits/*/*"))
    assert [path.name for path in paths] == KEPT
    before = [path.stat().st_mtime_ns for path in paths]
    fit(undisturbed)
    assert [path.stat().st_mtime_ns for path in paths] == before


def test_the_seed_decides_every_bit(undisturbed: Run, tiny_source: Source, tmp_path: Path) -> None:
    again = start(tmp_path / "again", tiny_source)
    fit(again)
    assert_same(weights(again), weights(undisturbed))
    other = start(tmp_path / "other", tiny_source, replace(stripes.ONE_WHOLE, seed=1))
    fit(other)
    names = [name for name in weights(other) if name.endswith("head.weight")]
    assert not any(torch.equal(weights(other)[name], weights(undisturbed)[name]) for name in names)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError])
def test_an_interrupted_fit_is_not_taken_for_a_finished_one(
    undisturbed: Run,
    tiny_source: Source,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stop: type[BaseException],
) -> None:
    run = start(tmp_path, tiny_source)
    original, batches = ChipInputs.drawn, 0

    def drawn(self: ChipInputs, rows: Rows, generator: torch.Generator) -> torch.Tensor:
        nonlocal batches
        batches += 1
        if batches == 11:  # within the third epoch of four batches
            raise stop
        return original(self, rows, generator)

    handler = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(ChipInputs, "drawn", drawn)
    with pytest.raises((stop, SystemExit)):
        fit(run)
    signal.signal(signal.SIGINT, handler)  # Lightning leaves it ignored
    assert not run.fit_path(stripes.WHOLE.name, 0).exists()
    assert run.fit_path(stripes.WHOLE.name, 0).with_suffix("").joinpath("last.ckpt").exists()
    fit(run)
    assert batches == 11 + 4 * 4 + 6 * 4  # the first fold's last four epochs, all of the second
    assert_same(weights(run), weights(undisturbed))


def test_a_fit_that_only_lacks_its_file_is_not_trained_again(
    undisturbed: Run, tiny_source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = start(tmp_path, tiny_source)

    def full_disk(*_: object) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("training.fit.fit.save_file", full_disk)
        with pytest.raises(OSError, match="no space"):
            fit(run)
    assert list(run.folder.glob("fits/*/*.safetensors")) == []
    second = run.fit_path(stripes.WHOLE.name, 1)
    shutil.copyfile(undisturbed.need_fit(stripes.WHOLE.name, 1), second)

    def nothing_to_see(*_: object) -> None:
        raise AssertionError("trains again")

    monkeypatch.setattr(ChipInputs, "drawn", nothing_to_see)
    fit(run)
    assert_same(weights(run), weights(undisturbed))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sent", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 128 + signal.SIGTERM)]
)
def test_a_killed_fit_goes_on_and_ends_as_if_nothing_had_happened(
    undisturbed: Run, tiny_source: Source, tmp_path: Path, sent: signal.Signals, code: int
) -> None:
    run = start(tmp_path, tiny_source)
    script = (
        "import sys, torch; from pathlib import Path; from training.fit.fit import fit; "
        "from training.run.folder import Run; torch.set_num_threads(1); fit(Run.open(Path(sys.argv[1])))"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(run.folder)], stderr=subprocess.DEVNULL)
    checkpoint = run.fit_path(stripes.WHOLE.name, 0).with_suffix("") / "last.ckpt"
    deadline = time.monotonic() + 120
    while not checkpoint.exists():
        assert process.poll() is None, "the fit ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.kill(process.pid, sent)
    assert process.wait() == code
    fit(run)
    assert_same(weights(run), weights(undisturbed))
    assert sorted(path.name for path in run.folder.glob("fits/*/*")) == KEPT
