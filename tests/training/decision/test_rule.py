"""Shape suffixes: A architectures, M members, N chips, L labels."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from service.contract.decision import Blender
from service.contract.rules import Blend, ExpectedF, Vote
from tests.kit import stripes
from tests.kit.fakes import Array
from training.config.schema import DecisionConfig, RunConfig
from training.data.out_of_fold import OutOfFold
from training.decision.blend import fit_blend, unseen_scores
from training.decision.calibration import calibrate
from training.decision.cooccurrence import find_cooccurrence
from training.decision.rule import cross_fitted, tune_rule
from training.decision.thresholds import tune_row

RULES = ("vote", "blend", "expected-f")


def configured(**options: Any) -> RunConfig:  # noqa: ANN401
    return replace(stripes.CONFIG, decision=DecisionConfig(**{"shrinkage": 7.0, **options}))


@pytest.fixture
def found() -> OutOfFold:
    """Three informative architectures on 200 chips in four folds."""
    random = np.random.default_rng(0)
    targets_NL = random.random((200, 5)) < 0.3
    logits_ANL = random.normal(2.5 * targets_NL - 1.5, size=(3, 200, 5))
    probs_ANL = (1 / (1 + np.exp(-logits_ANL))).astype(np.float32)
    return OutOfFold(probs_ANL, targets_NL, np.arange(200) % 4)


def test_each_architecture_is_tuned_for_itself(found: OutOfFold) -> None:
    config = configured(beta=1.0, prior=0.4)
    rule = tune_rule(found, config).rule
    assert isinstance(rule, Vote)
    assert rule.quorum == (2,) * 5
    assert rule.weights == ((1,) * 5,) * 3
    for probs_NL, thresholds_L in zip(found.probs_ANL, rule.thresholds, strict=True):
        expected_L = tune_row(probs_NL, found.targets_NL, found.folds_N, config.decision)
        np.testing.assert_array_equal(np.array(thresholds_L, np.float32), expected_L)


def test_a_blend_has_thresholds_of_scores_of_chips_it_has_not_seen(found: OutOfFold) -> None:
    config = configured(rule="blend")
    tuned = tune_rule(found, config)
    assert isinstance(tuned.rule, Blend)
    facts = found.probs_ANL, found.targets_NL, found.label_mask_AL
    scores_NL = unseen_scores(*facts, stripes.CONFIG.seed)
    thresholds_L = tune_row(scores_NL, found.targets_NL, found.folds_N, config.decision)
    np.testing.assert_array_equal(np.array(tuned.rule.thresholds, np.float32), thresholds_L)
    expected = Blender(*fit_blend(*facts), thresholds_L).decide(found.probs_ANL)
    np.testing.assert_array_equal(tuned.labels(found), expected.labels_BL)


def test_expected_f_is_calibrated_on_the_mean(found: OutOfFold) -> None:
    rule = tune_rule(found, configured(rule="expected-f", beta=3.0)).rule
    assert isinstance(rule, ExpectedF)
    assert (rule.beta, rule.weights) == (3.0, ((1,) * 5,) * 3)
    mean_NL = found.probs_ANL.mean(axis=0, dtype=np.float64)
    expected = calibrate(mean_NL, found.targets_NL, stripes.CONFIG.seed)
    for knots, expected_knots in zip(rule.knots, expected, strict=True):
        np.testing.assert_allclose(knots, expected_knots, atol=1e-12)


@pytest.mark.parametrize("rule", RULES)
def test_cooccurrence_is_found_in_the_truth_when_asked_for(found: OutOfFold, rule: str) -> None:
    kind_N = np.random.default_rng(3).integers(0, 2, 200)
    found.targets_NL[:, 0], found.targets_NL[:, 1] = kind_N == 0, kind_N == 1
    limited = tune_rule(found, configured(rule=rule, cooccurrence=True))
    assert limited.rule.cooccurrence == find_cooccurrence(found.targets_NL)
    assert (0, 1) in limited.rule.cooccurrence.exclusive
    assert (limited.labels(found)[:, :2].sum(axis=1) == 1).all()
    free = tune_rule(found, configured(rule=rule))
    assert not free.rule.cooccurrence.exclusive
    assert not (free.labels(found)[:, :2].sum(axis=1) == 1).all()


@pytest.mark.parametrize("rule", RULES)
def test_an_architecture_counts_only_where_it_has_a_say(found: OutOfFold, rule: str) -> None:
    label_mask_AL = np.ones((3, 5), np.bool_)
    label_mask_AL[0, 2], label_mask_AL[1, 2] = False, False
    partial = replace(found, label_mask_AL=label_mask_AL)
    tuned = tune_rule(partial, configured(rule=rule))
    changed_ANL = found.probs_ANL.copy()
    changed_ANL[:2, :, 2] = np.random.default_rng(4).random((2, 200))
    changed = replace(partial, probs_ANL=changed_ANL)
    assert not np.array_equal(tuned.labels(found), tune_rule(found, configured(rule=rule)).labels(found))
    np.testing.assert_array_equal(tuned.decide(changed).probabilities_BL, tuned.decide(partial)[2])
    np.testing.assert_array_equal(tuned.labels(changed), tuned.labels(partial))
    if rule == "vote":
        np.testing.assert_array_equal(tuned.decide(partial).votes_BL[:, 2] > 0, tuned.labels(partial)[:, 2])


def test_a_label_on_which_nobody_has_a_say_is_refused(found: OutOfFold) -> None:
    label_mask_AL = np.ones((3, 5), np.bool_)
    label_mask_AL[:, 1] = False
    with pytest.raises(ValueError, match=r"no member has a say on the labels in columns \[1\]"):
        replace(found, label_mask_AL=label_mask_AL)


@pytest.mark.parametrize("rule", RULES)
def test_a_row_for_each_fold_decides_like_the_row_of_the_architecture(found: OutOfFold, rule: str) -> None:
    """If an architecture's folds say the same, a majority of folds is one of architectures."""
    tuned = tune_rule(found, configured(rule=rule))
    shared = tuned.for_members(5)
    shared.check_shape(15, 5)
    expected = tuned.decide(found)
    decision = shared.decider().decide(np.repeat(found.probs_ANL, 5, axis=0))
    np.testing.assert_array_equal(decision.labels_BL, expected.labels_BL)
    np.testing.assert_allclose(decision.probabilities_BL, expected.probabilities_BL, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(decision.votes_BL, 5 * expected.votes_BL)
    assert tuned.for_members(1) == tuned.rule


@pytest.mark.parametrize("cooccurrence", [False, True])
@pytest.mark.parametrize("rule", RULES)
def test_cross_fitted_decisions_are_those_of_rules_from_the_other_folds(
    found: OutOfFold, rule: str, cooccurrence: bool
) -> None:
    config = configured(rule=rule, cooccurrence=cooccurrence)
    whole = cross_fitted(found, config)
    for fold in range(4):
        held_out_N = found.folds_N == fold
        others = OutOfFold(
            found.probs_ANL[:, ~held_out_N], found.targets_NL[~held_out_N], found.folds_N[~held_out_N]
        )
        decider = tune_rule(others, config).rule.decider()
        for array_NL, part_NL in zip(whole, decider.decide(found.probs_ANL[:, held_out_N]), strict=True):
            np.testing.assert_array_equal(array_NL[held_out_N], part_NL)


@pytest.mark.parametrize("rule", RULES)
def test_a_folds_own_targets_never_reach_its_labels(found: OutOfFold, rule: str) -> None:
    config = configured(rule=rule, cooccurrence=True)
    before_NL = cross_fitted(found, config).labels_BL
    random = np.random.default_rng(1)
    for fold in range(4):
        held_out_N = found.folds_N == fold
        targets_NL: Array = found.targets_NL.copy()
        targets_NL[held_out_N] = random.random((held_out_N.sum(), 5)) < 0.9
        after_NL = cross_fitted(replace(found, targets_NL=targets_NL), config).labels_BL
        np.testing.assert_array_equal(after_NL[held_out_N], before_NL[held_out_N])
        assert (after_NL[~held_out_N] != before_NL[~held_out_N]).any()
