"""Shape suffixes: A architectures, N chips, L labels."""

import itertools

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kit.fakes import majority
from training.config.schema import DecisionConfig
from training.decision.fbeta import chip_scores
from training.decision.member_weights import MAX_WEIGHT, tune_weights, weighted_vote

Probs = npt.NDArray[np.float32]
Truth = npt.NDArray[np.bool_]

TUNED = DecisionConfig(weights="tuned")
GREEDY = DecisionConfig(members="greedy")


def problem(skills: list[float], seed: int = 0, chips: int = 500) -> tuple[Probs, Probs, Truth, Truth]:
    """Members that tell the truth with so much skill; 0.5 cuts evenly."""
    random = np.random.default_rng(seed)
    targets_NL = random.random((chips, 4)) < 0.4
    logits_ANL = np.stack([random.normal(skill * (2 * targets_NL - 1.0)) for skill in skills])
    shape = (len(skills), 4)
    probs_ANL = (1 / (1 + np.exp(-logits_ANL))).astype(np.float32)
    return probs_ANL, np.full(shape, 0.5, np.float32), targets_NL, np.ones(shape, np.bool_)


def value(found: tuple[Probs, Probs, Truth, Truth], weights_AL: npt.NDArray[np.int64]) -> float:
    probs_ANL, thresholds_AL, targets_NL, _ = found
    labels_NL = weighted_vote(probs_ANL >= thresholds_AL[:, None, :], weights_AL)
    return float(chip_scores(labels_NL, targets_NL).mean())


@given(seed=st.integers(0, 10_000), members=st.integers(1, 6))
def test_equal_votes_are_the_services_rule(seed: int, members: int) -> None:
    random = np.random.default_rng(seed)
    probs_ANL = random.random((members, 5, 3)).astype(np.float32)
    thresholds_AL = random.random((members, 3)).astype(np.float32)
    voted_NL = weighted_vote(probs_ANL >= thresholds_AL[:, None, :], np.ones((members, 3), np.int64))
    served_NL = majority(probs_ANL, thresholds_AL).labels_BL
    np.testing.assert_array_equal(voted_NL, served_NL)


def test_a_weighted_majority_by_hand() -> None:
    ballots_ANL = np.array([[[1, 1, 0]], [[0, 1, 1]], [[0, 0, 1]]], np.bool_)
    weights_AL = np.array([[2, 1, 0], [1, 1, 0], [1, 2, 0]])
    # 2 of 4 is no majority; neither is 2 of 4; nobody has a vote
    assert weighted_vote(ballots_ANL, weights_AL).tolist() == [[False, False, False]]
    weights_AL[0] = 3
    assert weighted_vote(ballots_ANL, weights_AL).tolist() == [[True, True, False]]


@given(seed=st.integers(0, 10_000), factor=st.integers(2, 4))
def test_multiplied_votes_decide_alike(seed: int, factor: int) -> None:
    random = np.random.default_rng(seed)
    ballots_ANL = random.random((4, 6, 3)) < 0.5
    weights_AL = random.integers(0, 4, (4, 3))
    np.testing.assert_array_equal(
        weighted_vote(ballots_ANL, weights_AL), weighted_vote(ballots_ANL, factor * weights_AL)
    )


def test_without_tuning_every_member_with_a_say_has_one_vote() -> None:
    found = problem([1.0, 1.0])
    found[3][0, 2] = False
    weights_AL = tune_weights(*found, DecisionConfig())
    assert weights_AL.tolist() == [[1, 1, 0, 1], [1, 1, 1, 1]]


def test_one_good_member_among_poor_ones_gets_more_votes() -> None:
    found = problem([2.0, 0.5, 0.5])
    weights_AL = tune_weights(*found, TUNED)
    assert (weights_AL[0] > weights_AL[1:]).all()
    assert weights_AL.min() >= 1
    assert weights_AL.max() <= MAX_WEIGHT
    assert value(found, weights_AL) > value(found, np.ones((3, 4), np.int64))


@pytest.mark.parametrize("seed", range(5))
def test_members_of_a_kind_keep_equal_votes(seed: int) -> None:
    assert (tune_weights(*problem([1.0] * 3, seed), TUNED) == 1).all()


def test_no_single_members_votes_can_be_improved() -> None:
    found = problem([2.0, 1.0, 0.5, 0.3], seed=3)
    weights_AL = tune_weights(*found, TUNED)
    best = value(found, weights_AL)
    assert (weights_AL != 1).any()
    for member, votes in itertools.product(range(4), range(1, MAX_WEIGHT + 1)):
        other_AL = weights_AL.copy()
        other_AL[member] = votes
        assert value(found, other_AL) <= best + 1e-9


def test_selection_leaves_out_members_that_only_guess() -> None:
    weights_AL = tune_weights(*problem([1.5, 1.5, 1.5, 0.0, 0.0]), GREEDY)
    assert (weights_AL[:3] > 0).any(axis=0).all()
    assert not weights_AL[3:].any()


def test_selection_takes_the_best_member_first_and_never_ends_below_it() -> None:
    found = problem([0.5, 1.0, 0.7], seed=1)
    alone = [value(found, one_A[:, None].repeat(4, axis=1)) for one_A in np.eye(3, dtype=np.int64)]
    weights_AL = tune_weights(*found, GREEDY)
    assert (weights_AL == weights_AL[:, :1]).all()
    assert weights_AL[int(np.argmax(alone)), 0] > 0
    assert value(found, weights_AL) >= max(alone)


def test_selection_follows_its_textbook_form() -> None:
    found = problem([1.0, 0.9, 0.8], seed=2)
    counts, rounds = [0, 0, 0], []
    for _ in range(MAX_WEIGHT * 3):
        tried = [[count + (index == member) for index, count in enumerate(counts)] for member in range(3)]
        values = [value(found, np.repeat(np.array(row)[:, None], 4, axis=1)) for row in tried]
        counts = tried[int(np.argmax(values))]
        rounds.append((max(values), counts))
    best = max(rounds, key=lambda entry: entry[0])[1]
    expected = np.array(best) // np.gcd.reduce(best)
    assert tune_weights(*found, GREEDY)[:, 0].tolist() == expected.tolist()


def test_selection_leaves_no_label_without_a_vote() -> None:
    probs_ANL, thresholds_AL, targets_NL, _ = problem([3.0, -3.0, -3.0])  # two that are always wrong
    label_mask_AL = np.array(
        [[True, True, True, False], [False, False, False, True], [True, True, True, False]]
    )
    weights_AL = tune_weights(probs_ANL, thresholds_AL, targets_NL, label_mask_AL, GREEDY)
    assert (weights_AL > 0).tolist() == [[True, True, True, False], [False, False, False, True], [False] * 4]


def test_tuning_after_selection_keeps_out_who_was_left_out() -> None:
    found = problem([2.0, 1.0, 0.6, 0.0], seed=4)
    selected_AL = tune_weights(*found, GREEDY)
    both_AL = tune_weights(*found, DecisionConfig(members="greedy", weights="tuned"))
    np.testing.assert_array_equal(both_AL > 0, selected_AL > 0)


@pytest.mark.parametrize("decision", [TUNED, GREEDY])
def test_the_silent_have_no_votes_and_the_result_repeats(decision: DecisionConfig) -> None:
    found = problem([1.0, 2.0, 0.5])
    found[3][1, 0] = False
    weights_AL = tune_weights(*found, decision)
    assert weights_AL[1, 0] == 0
    assert weights_AL.dtype == np.int64
    np.testing.assert_array_equal(weights_AL, tune_weights(*found, decision))


def test_the_objective_matters() -> None:
    # member 0 knows the common label, member 1 the rare ones: the objectives weigh them differently
    random = np.random.default_rng(0)
    targets_NL = random.random((800, 4)) < np.array([0.9, 0.03, 0.03, 0.03])
    skill_AL = np.array([[3.0, 0.2, 0.2, 0.2], [0.2, 3.0, 3.0, 3.0]])
    logits_ANL = random.normal(skill_AL[:, None, :] * (2 * targets_NL - 1.0))
    probs_ANL = (1 / (1 + np.exp(-logits_ANL))).astype(np.float32)
    rest = (np.full((2, 4), 0.5, np.float32), targets_NL, np.ones((2, 4), np.bool_))
    by_chip, by_label = (
        tune_weights(probs_ANL, *rest, DecisionConfig(members="greedy", objective=objective))[:, 0]
        for objective in ("samples", "macro")
    )
    assert by_chip[0] > by_chip[1]
    assert by_label[1] > by_label[0]
