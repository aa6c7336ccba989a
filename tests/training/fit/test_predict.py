"""Shape suffixes: A architectures, V views, N chips, L labels."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.kit import networks, stripes
from training.config.schema import MemberConfig
from training.data.dataset import Dataset
from training.data.out_of_fold import read_predictions
from training.evaluation.evaluate import read_scores
from training.fit.fit import fit
from training.fit.inputs import inputs_of
from training.fit.predict import logits_of, predict
from training.network.augmentation import VIEWS
from training.run.folder import Run


def test_the_tiny_ensemble_has_learned_its_colours(trained: Run) -> None:
    mean_average_precision = read_scores(trained)["cross-fitted"].mean_average_precision
    assert mean_average_precision and mean_average_precision > 0.75


@pytest.mark.parametrize("index", [0, 1], ids=["frozen", "whole"])
def test_every_chip_is_scored_by_the_network_that_never_saw_it(
    trained: Run, tiny_dataset: Dataset, index: int
) -> None:
    """Compared with whole networks on pixels, also where cached features were used."""
    member = stripes.CONFIG.members[index]
    found = read_predictions(trained)
    np.testing.assert_array_equal(found.targets_NL, tiny_dataset.targets_NL)
    np.testing.assert_array_equal(found.folds_N, tiny_dataset.folds_N)
    assert found.probs_ANL.dtype == np.float32
    for fold in range(stripes.CONFIG.folds):
        net = networks.network_of(trained, member, [fold])
        held_out_N = tiny_dataset.folds_N == fold
        with torch.inference_mode():
            chips_NHWC = torch.from_numpy(tiny_dataset.chips_NHWC[held_out_N])
            expected_NL = torch.sigmoid(net(chips_NHWC)).numpy()
        # features of a frozen backbone are computed in bfloat16
        tolerance = 0.02 if member.freeze == "backbone" else 1e-5
        np.testing.assert_allclose(found.probs_ANL[index, held_out_N], expected_NL, rtol=0, atol=tolerance)


def test_predictions_that_are_there_stay(trained: Run) -> None:
    path = trained.folder / "out_of_fold.npz"
    before = path.stat().st_mtime_ns
    predict(trained)
    assert path.stat().st_mtime_ns == before


def test_predictions_older_than_a_fit_are_made_again(trained: Run, tmp_path: Path) -> None:
    run = stripes.copy_of(trained, tmp_path / "run")
    path = run.folder / "out_of_fold.npz"
    expected = read_predictions(run).probs_ANL
    np.savez(path, probs_ANL=expected * 0, targets_NL=expected[0] > 1, folds_N=np.zeros(1))
    later_s = path.stat().st_mtime + 10
    os.utime(run.fit_path(stripes.FROZEN.name, 1), (later_s, later_s))
    predict(run)
    np.testing.assert_array_equal(read_predictions(run).probs_ANL, expected)


def test_a_missing_fit_names_the_stage(trained: Run, tmp_path: Path) -> None:
    run = stripes.copy_of(trained, tmp_path / "run")
    run.fit_path(stripes.WHOLE.name, 1).unlink()
    (run.folder / "out_of_fold.npz").unlink()
    with pytest.raises(ValueError, match=r"fold1.safetensors: not there; run `chipvote-train fit"):
        predict(run)
    assert not (run.folder / "out_of_fold.npz").exists()


@pytest.mark.parametrize("member", stripes.CONFIG.members, ids=lambda member: member.freeze)
def test_eight_views_are_the_mean_of_eight_single_views(
    trained: Run, tiny_dataset: Dataset, member: MemberConfig
) -> None:
    inputs = inputs_of(trained, member, tiny_dataset)
    net = inputs.restored(load_file(trained.need_fit(member.name, 0))).eval()
    rows = np.flatnonzero(tiny_dataset.folds_N == 0)[:6]
    with torch.inference_mode():
        single_VNL = torch.stack([net(inputs.seen(rows, index)) for index in range(VIEWS)])
    torch.testing.assert_close(logits_of(net, inputs, rows, 1, ""), single_VNL[0])
    found_NL = logits_of(net, inputs, rows, VIEWS, "")
    torch.testing.assert_close(found_NL, single_VNL.mean(dim=0))
    assert not torch.allclose(found_NL, single_VNL[0])


def test_the_run_says_how_many_views_a_prediction_has(trained: Run, tmp_path: Path) -> None:
    run = stripes.copy_of(trained, tmp_path / "run")
    (run.folder / "out_of_fold.npz").unlink()
    run = replace(run, config=replace(run.config, predict_views=8))
    predict(run)
    found, single = read_predictions(run).probs_ANL, read_predictions(trained).probs_ANL
    assert ((found > 0) & (found < 1)).all()
    assert all((found[index] != single[index]).any() for index in range(len(found)))


def test_a_member_predicts_its_own_labels_alone_and_one_of_the_exclusive_ones(prepared: Run) -> None:
    """One that says nothing on two labels, one with two labels under a softmax."""
    own = replace(stripes.FROZEN, name="own", labels=("dark", "red"), epochs=5)
    either = replace(stripes.FROZEN, name="either", exclusive=("blue", "green"), epochs=5)
    run = replace(prepared, config=replace(prepared.config, members=(own, either)))
    fit(run)
    predict(run)
    probs_ANL = read_predictions(run).probs_ANL
    assert probs_ANL[0][:, [0, 2]].max() < 1e-12
    assert probs_ANL[0][:, [1, 3]].min() > 1e-6
    np.testing.assert_allclose(probs_ANL[1][:, [0, 2]].sum(axis=1), 1, rtol=1e-6)
    assert np.ptp(probs_ANL[1][:, [1, 3]].sum(axis=1)) > 0.01
    for fold in range(run.config.folds):
        state = load_file(run.need_fit("own", fold))
        assert not state["head.weight"][[0, 2]].any()
        assert torch.sigmoid(state["head.bias"][[0, 2]]).max() < 1e-12
