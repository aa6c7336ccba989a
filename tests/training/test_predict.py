"""Shape suffixes: N chips, L labels."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training import tiny
from training.dataset import Dataset
from training.predict import predict
from training.results import read_predictions
from training.workspace import Run


@pytest.mark.parametrize("index", [0, 1], ids=["frozen", "whole"])
def test_every_chip_is_scored_by_the_network_that_never_saw_it(
    evaluated: Run, tiny_dataset: Dataset, index: int
) -> None:
    """Compared with whole networks on pixels, also where cached features were used."""
    member = tiny.CONFIG.members[index]
    found = read_predictions(evaluated)
    np.testing.assert_array_equal(found.targets_NL, tiny_dataset.targets_NL)
    np.testing.assert_array_equal(found.folds_N, tiny_dataset.folds_N)
    assert found.probs_ANL.dtype == np.float32
    for fold in range(tiny.CONFIG.folds):
        net = tiny.network_of(evaluated, member, [fold])
        held_out_N = tiny_dataset.folds_N == fold
        with torch.inference_mode():
            chips_NHWC = torch.from_numpy(tiny_dataset.chips_NHWC[held_out_N])
            expected_NL = torch.sigmoid(net(chips_NHWC)).numpy()
        # features of a frozen backbone are computed in bfloat16
        tolerance = 0.02 if member.freeze == "backbone" else 1e-5
        np.testing.assert_allclose(found.probs_ANL[index, held_out_N], expected_NL, rtol=0, atol=tolerance)


def test_predictions_that_are_there_stay(evaluated: Run) -> None:
    path = evaluated.folder / "out_of_fold.npz"
    before = path.stat().st_mtime_ns
    predict(evaluated)
    assert path.stat().st_mtime_ns == before


def test_predictions_older_than_a_fit_are_made_again(evaluated: Run, tmp_path: Path) -> None:
    run = tiny.copy_of(evaluated, tmp_path / "run")
    path = run.folder / "out_of_fold.npz"
    expected = read_predictions(run).probs_ANL
    np.savez(path, probs_ANL=expected * 0, targets_NL=expected[0] > 1, folds_N=np.zeros(1))
    later_s = path.stat().st_mtime + 10
    os.utime(run.fit_path(tiny.FROZEN.name, 1), (later_s, later_s))
    predict(run)
    np.testing.assert_array_equal(read_predictions(run).probs_ANL, expected)


def test_a_missing_fit_names_the_stage(evaluated: Run, tmp_path: Path) -> None:
    run = tiny.copy_of(evaluated, tmp_path / "run")
    run.fit_path(tiny.WHOLE.name, 1).unlink()
    (run.folder / "out_of_fold.npz").unlink()
    with pytest.raises(ValueError, match=r"fold1.safetensors: not there; run `chipvote-train fit"):
        predict(run)
    assert not (run.folder / "out_of_fold.npz").exists()
