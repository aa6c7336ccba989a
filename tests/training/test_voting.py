"""Shape suffixes: A architectures, N chips, L labels."""

from dataclasses import replace

import numpy as np
import pytest

from tests.training import tiny
from training.config import DecisionConfig
from training.thresholds import tune
from training.voting import OutOfFold, Voting, cross_fitted_labels, tune_voting


@pytest.fixture
def found() -> OutOfFold:
    """Three informative architectures on 200 chips in four folds."""
    random = np.random.default_rng(0)
    targets_NL = random.random((200, 5)) < 0.3
    logits_ANL = random.normal(2.5 * targets_NL - 1.5, size=(3, 200, 5))
    probs_ANL = (1 / (1 + np.exp(-logits_ANL))).astype(np.float32)
    return OutOfFold(probs_ANL, targets_NL, np.arange(200) % 4)


def test_each_architecture_is_tuned_for_itself(found: OutOfFold) -> None:
    config = replace(tiny.CONFIG, decision=DecisionConfig(beta=1.0, prior=0.4, shrinkage=7.0))
    voting = tune_voting(found, config)
    assert voting.quorum == 2
    for probs_NL, thresholds_L in zip(found.probs_ANL, voting.thresholds_AL, strict=True):
        expected_L = tune(probs_NL, found.targets_NL, beta=1.0, prior=0.4, shrinkage=7.0)
        np.testing.assert_array_equal(thresholds_L, expected_L)


def test_labels_are_set_by_the_quorum() -> None:
    probs_ANL = np.array([[[0.9, 0.1]], [[0.6, 0.5]], [[0.1, 0.2]]], np.float32)
    found = OutOfFold(probs_ANL, np.zeros((1, 2), np.bool_), np.zeros(1, np.int64))
    thresholds_AL = np.full((3, 2), 0.5, np.float32)
    expected = {1: [True, True], 2: [True, False], 3: [False, False]}
    for quorum, labels in expected.items():
        assert Voting(thresholds_AL, quorum).labels(found).tolist() == [labels]


def test_cross_fitted_labels_are_those_of_thresholds_from_the_other_folds(found: OutOfFold) -> None:
    labels_NL = cross_fitted_labels(found, tiny.CONFIG)
    for fold in range(4):
        held_out_N = found.folds_N == fold
        voting = tune_voting(found.part(~held_out_N), tiny.CONFIG)
        votes_NL = (found.probs_ANL[:, held_out_N] >= voting.thresholds_AL[:, None]).sum(axis=0)
        np.testing.assert_array_equal(labels_NL[held_out_N], votes_NL >= voting.quorum)


def test_a_folds_own_targets_never_reach_its_labels(found: OutOfFold) -> None:
    before_NL = cross_fitted_labels(found, tiny.CONFIG)
    random = np.random.default_rng(1)
    for fold in range(4):
        held_out_N = found.folds_N == fold
        targets_NL = found.targets_NL.copy()
        targets_NL[held_out_N] = random.random((held_out_N.sum(), 5)) < 0.9
        after_NL = cross_fitted_labels(replace(found, targets_NL=targets_NL), tiny.CONFIG)
        np.testing.assert_array_equal(after_NL[held_out_N], before_NL[held_out_N])
        assert (after_NL[~held_out_N] != before_NL[~held_out_N]).any()
