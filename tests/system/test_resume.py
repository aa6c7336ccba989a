"""A run killed in three stages ends as if nothing had happened: SIGKILL, real processes."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="networks are fitted here, which needs PyTorch")

import torch
from safetensors.torch import load_file

from service.contract.bundle import load
from tests.kit import networks, stripes
from training.config.schema import RunConfig
from training.data.dataset import prepare
from training.decision import tune
from training.evaluation import evaluate
from training.export import export
from training.fit import fit, predict
from training.run.folder import Run, Source
from training.run.history import read_epochs

# Whatever has a state that a resumed fit could lose, in one run.
EVERYTHING = replace(
    stripes.CONFIG,
    members=(
        replace(stripes.FROZEN, epochs=4),
        replace(
            stripes.WHOLE,
            epochs=3,
            ema_decay=0.9,
            schedule="cosine",
            warmup_epochs=1,
            oversample=1.0,
            augmentation="lossy",
            dropout=0.3,
        ),
    ),
    precisions=("float32",),
)
STAGES = """
import sys, torch, lightning
from pathlib import Path
torch.set_num_threads(1)
from training.decision import tune
from training.evaluation import evaluate
from training.export import export
from training.fit import fit, predict
from training.run.folder import Run
run = Run.open(Path(sys.argv[1]))
fit.fit(run); predict.predict(run); tune.tune(run); evaluate.evaluate(run)
export.export(run, name="tiny", version="1")
"""


def stages(run: Run) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", STAGES, str(run.folder)])


def kill_when(run: Run, pattern: str) -> None:
    """Run the stages until a file is there, then kill them."""
    process = stages(run)
    deadline = time.monotonic() + 300
    while not any(run.folder.glob(pattern)):
        assert process.poll() is None, f"ended before {pattern} was there"
        assert time.monotonic() < deadline
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def started(folder: Path, source: Source, config: RunConfig = EVERYTHING) -> Run:
    run = Run.start(folder, config, source)
    prepare(run)
    return run


@pytest.mark.slow
def test_a_run_killed_in_three_stages_ends_as_if_nothing_had_happened(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    source = networks.source(tmp_path_factory.getbasetemp())
    undisturbed, killed = (started(tmp_path / name, source) for name in ("undisturbed", "killed"))
    for stage in (fit.fit, predict.predict, tune.tune, evaluate.evaluate):
        stage(undisturbed)
    export.export(undisturbed, name="tiny", version="1")

    kill_when(killed, f"fits/{stripes.WHOLE.name}/fold0/last.ckpt")  # in the middle of a fit
    assert not killed.fit_path(stripes.WHOLE.name, 0).exists()
    kill_when(killed, f"fits/{stripes.WHOLE.name}/fold1.safetensors")  # all fitted, nothing predicted
    assert not (killed.folder / "decision.json").exists()
    kill_when(killed, "members/_partial-*")  # a graph half written
    assert not (killed.folder / "bundle").exists()
    assert stages(killed).wait() == 0

    for member in EVERYTHING.members:
        for fold in range(EVERYTHING.folds):
            first, second = (load_file(run.need_fit(member.name, fold)) for run in (undisturbed, killed))
            assert first.keys() == second.keys()
            assert [name for name in first if not torch.equal(first[name], second[name])] == []
            rows = read_epochs(killed.epochs_path(member.name, fold))
            assert [row.epoch for row in rows] == list(range(1, member.epochs + 1))
    expected, found = (load(run.folder / "bundle") for run in (undisturbed, killed))
    assert found.manifest.decision == expected.manifest.decision
    assert found.manifest.scores == expected.manifest.scores
    for one, other in zip(expected.manifest.members, found.manifest.members, strict=True):
        assert one.graphs["float32"].file == other.graphs["float32"].file  # its sha256 too
    for name in ("golden.npz", "out_of_fold.npz"):
        paths = [next(run.folder.rglob(name)) for run in (undisturbed, killed)]
        with np.load(paths[0]) as one, np.load(paths[1]) as other:
            assert set(one) == set(other)
            assert [key for key in one if digest(one[key]) != digest(other[key])] == []


def digest(array: np.ndarray) -> str:
    return hashlib.sha256(array.tobytes()).hexdigest()
