"""Shape suffixes: A architectures, N chips, L labels."""

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kit.fakes import majority
from training.config.schema import DecisionConfig
from training.decision.fbeta import chip_scores, sample_fbeta
from training.decision.optimum import ascend
from training.decision.thresholds import (
    SHRINKAGE,
    STRENGTHS,
    choose_shrinkage,
    ensemble_scores,
    raw_thresholds,
    settle,
    shrink,
    tune_row,
    tune_thresholds,
)

Probs = npt.NDArray[np.float32]
Truth = npt.NDArray[np.bool_]
Folds = npt.NDArray[np.int64]

RAW = DecisionConfig(shrinkage=0.0)


def problem(
    seed: int = 0, members: int = 3, chips: int = 400, labels: int = 5, shift: float = 0.0
) -> tuple[Probs, Truth, Folds]:
    """Members that know something of the truth; `shift` moves their best thresholds off 0.2."""
    random = np.random.default_rng(seed)
    targets_NL = random.random((chips, labels)) < np.geomspace(0.5, 0.05, labels)
    logits_ANL = random.normal(3.0 * targets_NL - 2.0 + shift, 1.0, (members, chips, labels))
    return (1 / (1 + np.exp(-logits_ANL))).astype(np.float32), targets_NL, np.arange(chips) % 4


def test_members_are_tuned_each_for_itself() -> None:
    probs_ANL, targets_NL, folds_N = problem()
    decision = DecisionConfig(beta=1.0, prior=0.4, shrinkage=7.0)
    found_AL = tune_thresholds(probs_ANL, targets_NL, folds_N, decision)
    assert found_AL.dtype == np.float32
    for probs_NL, found_L in zip(probs_ANL, found_AL, strict=True):
        raw_L = ascend(probs_NL, targets_NL, beta=1.0, start=0.4)
        expected_L = settle(probs_NL, shrink(raw_L, targets_NL.sum(axis=0), 0.4, 7.0))
        np.testing.assert_array_equal(found_L, expected_L)
        np.testing.assert_array_equal(tune_row(probs_NL, targets_NL, folds_N, decision), expected_L)


def test_a_member_that_is_silent_on_labels_is_tuned_as_if_others_had_set_them() -> None:
    probs_ANL, targets_NL, folds_N = problem(members=2, chips=2000)
    label_mask_AL = np.array([[True] * 5, [False] * 3 + [True] * 2])
    probs_ANL[1][:, :3] = 0.0
    found_AL = tune_thresholds(probs_ANL, targets_NL, folds_N, RAW, label_mask_AL)
    together_NL = np.concatenate([probs_ANL[0][:, :3], probs_ANL[1][:, 3:]], axis=1)
    np.testing.assert_array_equal(found_AL[1], settle(together_NL, ascend(together_NL, targets_NL)))
    # With the other labels set everywhere or nowhere, a wrong label more costs too little.
    assert (tune_row(probs_ANL[1], targets_NL, folds_N, RAW)[3:] < found_AL[1, 3:]).all()


@pytest.mark.parametrize("objective", ["samples", "macro"])
def test_the_usual_shrinkage_is_the_objectives(objective: str) -> None:
    decision = DecisionConfig(objective=objective)  # type: ignore[arg-type]
    stated = replace(decision, shrinkage=SHRINKAGE[objective])
    np.testing.assert_array_equal(
        tune_thresholds(*problem(shift=1.5), decision), tune_thresholds(*problem(shift=1.5), stated)
    )
    other = replace(decision, shrinkage=50.0)
    assert (
        tune_thresholds(*problem(shift=1.5), decision) != tune_thresholds(*problem(shift=1.5), other)
    ).any()


@pytest.mark.parametrize(
    "choices",
    [
        {"objective": "macro"},
        {"beta": 0.5},
        {"thresholds": "shared"},
        {"thresholds": "shared", "rule": "blend"},
        {"prior": 0.5},
        {"shrinkage": None},
        {"bags": 5},
    ],
    ids=str,
)
def test_every_choice_changes_the_thresholds_and_repeats_exactly(choices: dict[str, object]) -> None:
    base = DecisionConfig(shrinkage=100.0)
    decision = replace(base, **choices)  # type: ignore[arg-type]
    found_AL = tune_thresholds(*problem(shift=1.0), decision)
    assert (found_AL != tune_thresholds(*problem(shift=1.0), base)).any()
    np.testing.assert_array_equal(found_AL, tune_thresholds(*problem(shift=1.0), decision))


@given(seed=st.integers(0, 10_000), members=st.integers(1, 6), shared=st.sampled_from([0.0, 0.1, 0.5, 0.9]))
def test_the_vote_under_a_shared_threshold_is_one_score(seed: int, members: int, shared: float) -> None:
    random = np.random.default_rng(seed)
    probs_ANL = (random.integers(0, 11, (members, 7, 3)) / 10).astype(np.float32)
    thresholds_AL = np.full((members, 3), shared, np.float32)
    voted = majority(probs_ANL, thresholds_AL).labels_BL
    np.testing.assert_array_equal(ensemble_scores(probs_ANL, DecisionConfig()) >= np.float32(shared), voted)


def test_members_that_do_not_speak_have_no_part_in_the_shared_score() -> None:
    probs_ANL, _, _ = problem(members=3)
    label_mask_AL = np.ones((3, 5), np.bool_)
    label_mask_AL[0, 1], label_mask_AL[:, 2] = False, False
    scores_NL = ensemble_scores(probs_ANL, DecisionConfig(), label_mask_AL)
    np.testing.assert_array_equal(scores_NL[:, 0], np.median(probs_ANL[:, :, 0], axis=0))
    np.testing.assert_array_equal(scores_NL[:, 1], probs_ANL[1:, :, 1].min(axis=0))
    assert not scores_NL[:, 2].any()


def test_a_blend_compares_the_mean() -> None:
    probs_ANL, _, _ = problem()
    scores_NL = ensemble_scores(probs_ANL, DecisionConfig(rule="blend"))
    np.testing.assert_allclose(scores_NL, probs_ANL.mean(axis=0), rtol=1e-6)


def test_shared_thresholds_are_an_optimum_of_the_vote_itself() -> None:
    probs_ANL, targets_NL, folds_N = problem(chips=120)
    shared_AL = tune_thresholds(probs_ANL, targets_NL, folds_N, replace(RAW, thresholds="shared"))
    assert (shared_AL == shared_AL[0]).all()

    def f2(row_L: Probs) -> float:
        labels_NL = majority(probs_ANL, np.tile(row_L, (3, 1))).labels_BL
        return float(sample_fbeta(labels_NL, targets_NL).mean())

    best = f2(shared_AL[0])
    for label in range(5):
        for cut in np.unique(probs_ANL[:, :, label]):
            other_L = shared_AL[0].copy()
            other_L[label] = cut
            assert f2(other_L) <= best + 1e-8


def test_bags_are_the_mean_of_bootstrap_optima() -> None:
    probs_ANL, targets_NL, _ = problem()
    rows = []
    for seed in range(4):
        drawn_N = np.random.default_rng(seed).integers(0, 400, 400)
        rows.append(raw_thresholds(probs_ANL[0, drawn_N], targets_NL[drawn_N], RAW))
    found_L = raw_thresholds(probs_ANL[0], targets_NL, replace(RAW, bags=4))
    np.testing.assert_allclose(found_L, np.mean(rows, axis=0), rtol=1e-6)


def test_bags_steady_the_threshold() -> None:
    def spread(decision: DecisionConfig) -> float:
        rows = [raw_thresholds(probs[0], truth, decision) for probs, truth, _ in map(problem, range(12))]
        return float(np.std(rows, axis=0).mean())

    assert spread(replace(RAW, bags=20)) < 0.8 * spread(RAW)


@pytest.mark.parametrize("objective", ["samples", "macro"])
def test_the_chosen_shrinkage_is_the_strongest_within_an_error_of_the_best(objective: str) -> None:
    probs_ANL, targets_NL, folds_N = problem(shift=0.7)
    decision = DecisionConfig(objective=objective)  # type: ignore[arg-type]
    values = []
    for strength in STRENGTHS:
        labels_NL = np.zeros_like(targets_NL)
        for fold in range(4):
            seen_N = folds_N != fold
            thresholds_L = tune_row(
                probs_ANL[0, seen_N],
                targets_NL[seen_N],
                folds_N[seen_N],
                replace(decision, shrinkage=strength),
            )
            labels_NL[~seen_N] = probs_ANL[0, ~seen_N] >= thresholds_L
        values.append(chip_scores(labels_NL, targets_NL, decision.objective))
    best_N = max(values, key=np.mean)
    allowed = [
        strength
        for strength, value_N in zip(STRENGTHS, values, strict=True)
        if (best_N - value_N).mean() <= (best_N - value_N).std() / 20
    ]
    assert choose_shrinkage(probs_ANL[0], targets_NL, folds_N, decision) == max(allowed)


def test_where_the_prior_is_far_off_little_shrinkage_is_chosen() -> None:
    probs_ANL, targets_NL, folds_N = problem(chips=3000, shift=2.5)
    assert choose_shrinkage(probs_ANL[0], targets_NL, folds_N, DecisionConfig()) <= 100


def test_where_the_prior_is_best_already_strong_shrinkage_is_chosen() -> None:
    def calibrated(seed: int, chips: int) -> tuple[Probs, Truth]:
        random = np.random.default_rng(seed)
        probs_NL = random.beta(0.4, 0.8, (chips, 4)).astype(np.float32)
        return probs_NL, random.random((chips, 4)) < probs_NL

    best = float(raw_thresholds(*calibrated(99, 20_000), RAW).mean())
    decision = DecisionConfig(shrinkage=None, prior=best)
    chosen = []
    for seed in range(10):
        probs_NL, targets_NL = calibrated(seed, 500)
        chosen.append(choose_shrinkage(probs_NL, targets_NL, np.arange(500) % 5, decision))
        if chosen[-1] == math.inf:
            found_L = tune_row(probs_NL, targets_NL, np.arange(500) % 5, decision)
            np.testing.assert_array_equal(probs_NL >= found_L, probs_NL >= np.float32(best))
    assert math.inf in chosen
    assert min(chosen) >= 1000


def test_one_fold_cannot_choose_the_shrinkage() -> None:
    probs_ANL, targets_NL, folds_N = problem()
    with pytest.raises(ValueError, match="at least two folds; set `shrinkage` instead"):
        tune_thresholds(probs_ANL, targets_NL, folds_N * 0, DecisionConfig(shrinkage=None))


def test_the_order_of_chips_and_members_does_not_matter() -> None:
    probs_ANL, targets_NL, folds_N = problem()
    order_N = np.random.default_rng(1).permutation(len(folds_N))
    for decision in (
        DecisionConfig(),
        DecisionConfig(shrinkage=None),
        DecisionConfig(thresholds="shared"),
        DecisionConfig(objective="macro"),
    ):
        found_AL = tune_thresholds(probs_ANL, targets_NL, folds_N, decision)
        again_AL = tune_thresholds(probs_ANL[::-1, order_N], targets_NL[order_N], folds_N[order_N], decision)
        np.testing.assert_array_equal(again_AL[::-1], found_AL)
