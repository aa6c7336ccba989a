"""Shape suffixes: M members, B chips, L labels."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from service.contract.decision import (
    COEFFICIENT_GRID,
    MAX_BLEND,
    PROBABILITY_GRID,
    Blender,
    Constrained,
    Decider,
    Decision,
    Maximizer,
    Voter,
    strict_majority,
    to_grid,
)
from service.contract.expected_f import best_sets
from tests.kit.fakes import Array, Float

UNIT = st.floats(0, 1, width=32)


@st.composite
def elections(draw: st.DrawFn) -> tuple[Float, Float, Array, Array]:
    members, chips, labels = (draw(st.integers(1, 5)) for _ in range(3))
    probs_MBL = draw(hnp.arrays(np.float32, (members, chips, labels), elements=UNIT))
    thresholds_ML = draw(hnp.arrays(np.float32, (members, labels), elements=UNIT))
    weights_ML = draw(hnp.arrays(np.int64, (members, labels), elements=st.integers(0, 3)))
    weights_ML[draw(st.integers(0, members - 1))] += 1
    quorum_L = np.array([draw(st.integers(1, int(total))) for total in weights_ML.sum(axis=0)])
    return probs_MBL, thresholds_ML, weights_ML, quorum_L


@given(elections())
def test_the_vote_counts_like_a_loop(election: tuple[Float, Float, Array, Array]) -> None:
    probs_MBL, thresholds_ML, weights_ML, quorum_L = election
    decision = Voter(thresholds_ML, weights_ML, quorum_L).decide(probs_MBL)
    members, chips, labels = probs_MBL.shape
    for chip, label in itertools.product(range(chips), range(labels)):
        votes, mean = 0, 0.0
        for member in range(members):
            weight = int(weights_ML[member, label])
            votes += weight * bool(probs_MBL[member, chip, label] >= thresholds_ML[member, label])
            mean += weight * float(probs_MBL[member, chip, label]) / int(weights_ML[:, label].sum())
        assert decision.votes_BL[chip, label] == votes
        assert decision.labels_BL[chip, label] == (votes >= quorum_L[label])
        assert decision.probabilities_BL[chip, label] == pytest.approx(mean, abs=1e-12)


@given(elections())
def test_equal_weights_are_a_plain_majority(election: tuple[Float, Float, Array, Array]) -> None:
    probs_MBL, thresholds_ML, weights_ML, _ = election
    ones_ML = np.ones_like(weights_ML)
    decision = Voter(thresholds_ML, ones_ML, strict_majority(ones_ML.sum(axis=0))).decide(probs_MBL)
    in_favour_BL = (probs_MBL >= thresholds_ML[:, None]).sum(axis=0)
    np.testing.assert_array_equal(decision.votes_BL, in_favour_BL)
    np.testing.assert_array_equal(decision.labels_BL, in_favour_BL > len(probs_MBL) / 2)
    np.testing.assert_allclose(decision.probabilities_BL, probs_MBL.mean(axis=0, dtype=float), atol=1e-12)


def test_a_member_without_a_say_changes_nothing() -> None:
    probs_MBL = np.array([[[0.9, 0.9]], [[0.1, 0.1]]], np.float32)
    weights_ML = np.array([[1, 1], [0, 1]])
    decision = Voter(np.full((2, 2), 0.5, np.float32), weights_ML, np.array([1, 2])).decide(probs_MBL)
    assert decision.labels_BL.tolist() == [[True, False]]
    assert decision.probabilities_BL.tolist() == [[pytest.approx(0.9), pytest.approx(0.5)]]


def test_a_probability_equal_to_its_threshold_is_a_vote() -> None:
    tenth = np.float32(0.1)
    voter = Voter(np.full((1, 1), tenth), np.ones((1, 1), np.int64), np.ones(1, np.int64))
    assert voter.decide(np.full((1, 1, 1), tenth)).labels_BL.all()
    below = np.nextafter(tenth, np.float32(0))
    assert not voter.decide(np.full((1, 1, 1), below)).labels_BL.any()


@pytest.mark.parametrize(("members", "quorum"), [(1, 1), (2, 2), (3, 2), (4, 3), (15, 8)])
def test_strict_majority(members: int, quorum: int) -> None:
    assert strict_majority(np.array([members])).tolist() == [quorum]


@st.composite
def blends(draw: st.DrawFn) -> tuple[Float, Array, Array]:
    members, chips, labels = draw(st.integers(1, 4)), draw(st.integers(1, 40)), draw(st.integers(1, 5))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    probs_MBL = random.random((members, chips, labels), np.float32)
    coefficients_MLL = random.normal(size=(members, labels, labels))
    coefficients_MLL *= draw(st.floats(0, MAX_BLEND / 2)) / np.abs(coefficients_MLL).sum(axis=(0, 1)).max()
    return probs_MBL, coefficients_MLL, random.normal(size=labels)


@given(blends())
def test_a_blend_scores_like_a_loop(blend: tuple[Float, Array, Array]) -> None:
    probs_MBL, coefficients_MLL, intercepts_L = blend
    thresholds_L = np.full(len(intercepts_L), 0.5, np.float32)
    decision = Blender(coefficients_MLL, intercepts_L, thresholds_L).decide(probs_MBL)
    expected_BL = np.clip(
        sum(probs_BL.astype(float) @ c_LL for probs_BL, c_LL in zip(probs_MBL, coefficients_MLL, strict=True))
        + intercepts_L,
        0,
        1,
    )
    tolerance = np.abs(coefficients_MLL).sum() * PROBABILITY_GRID + 25 * COEFFICIENT_GRID
    np.testing.assert_allclose(decision.probabilities_BL, expected_BL, rtol=0, atol=tolerance)
    np.testing.assert_array_equal(decision.labels_BL, decision.probabilities_BL >= thresholds_L)
    assert not decision.votes_BL.any()


@given(blends())
def test_a_blends_scores_are_exact(blend: tuple[Float, Array, Array]) -> None:
    """Summed in whole numbers of Python, which cannot round."""
    probs_MBL, coefficients_MLL, intercepts_L = blend
    chips, labels = 1, len(intercepts_L)
    scores_BL = Blender(coefficients_MLL, intercepts_L, np.zeros(labels, np.float32)).decide(probs_MBL)[2]
    for chip, label in itertools.product(range(chips), range(labels)):
        total = int(to_grid(intercepts_L, COEFFICIENT_GRID)[label] * 2**44)
        for member, source in itertools.product(range(len(probs_MBL)), range(labels)):
            prob = int(to_grid(probs_MBL, PROBABILITY_GRID)[member, chip, source] * 2**20)
            total += prob * int(to_grid(coefficients_MLL, COEFFICIENT_GRID)[member, source, label] * 2**24)
        assert scores_BL[chip, label] == min(max(total, 0), 2**44) / 2**44


def calibrated(weights_ML: Array) -> Maximizer:
    knots = (np.array([0.1, 0.4, 0.8]), np.array([0.0, 0.2, 1.0]))
    return Maximizer(weights_ML, [knots] * weights_ML.shape[1], 2.0)


def test_expected_f_calibrates_the_weighted_mean_and_chooses_the_best_set() -> None:
    probs_MBL = np.random.default_rng(0).random((3, 50, 4), np.float32)
    weights_ML = np.array([[1, 0, 2, 1], [1, 1, 1, 0], [1, 3, 0, 0]])
    decision = calibrated(weights_ML).decide(probs_MBL)
    mean_BL = np.stack(
        [np.average(probs_MBL[..., c].astype(float), axis=0, weights=weights_ML[:, c]) for c in range(4)], 1
    )
    expected_BL = np.interp(mean_BL, [0.1, 0.4, 0.8], [0.0, 0.2, 1.0])
    np.testing.assert_allclose(decision.probabilities_BL, expected_BL, atol=1e-12)
    np.testing.assert_array_equal(decision.labels_BL, best_sets(expected_BL, 2.0))
    assert not decision.votes_BL.any()


@given(st.integers(0, 2**32 - 1), st.integers(1, 16), st.integers(1, 9), st.integers(1, 6))
@settings(max_examples=50)
def test_a_chips_decision_does_not_depend_on_its_batch(
    seed: int, members: int, chips: int, labels: int
) -> None:
    random = np.random.default_rng(seed)
    probs_MBL = random.random((members, chips, labels), np.float32)
    thresholds_ML = random.random((members, labels), np.float32)
    weights_ML = random.integers(1, 3, (members, labels))
    deciders: list[Decider] = [
        Voter(thresholds_ML, weights_ML, strict_majority(weights_ML.sum(axis=0))),
        Blender(random.normal(size=(members, labels, labels)), random.random(labels), thresholds_ML[0]),
        calibrated(weights_ML),
    ]
    for decider in [*deciders, *(Constrained(d, [range(labels)], [0], labels) for d in deciders)]:
        together = decider.decide(probs_MBL)
        for chip in range(chips):
            alone = decider.decide(probs_MBL[:, chip : chip + 1])
            np.testing.assert_array_equal(alone.labels_BL[0], together.labels_BL[chip])
            np.testing.assert_array_equal(alone.votes_BL[0], together.votes_BL[chip])
            np.testing.assert_array_equal(alone.probabilities_BL[0], together.probabilities_BL[chip])


class Fixed:
    """A rule that says what it was told."""

    def __init__(self, labels_BL: Array, probs_BL: Array) -> None:
        self.said = Decision(labels_BL, labels_BL.astype(np.int64), probs_BL)

    def decide(self, probs_MBL: Float) -> Decision:
        return self.said


@given(st.integers(0, 2**32 - 1))
def test_label_sets_keep_to_what_is_always_true(seed: int) -> None:
    random = np.random.default_rng(seed)
    labels_BL, probs_BL = random.random((30, 6)) < 0.4, random.random((30, 6))
    fixed = Fixed(labels_BL.copy(), probs_BL)
    decision = Constrained(fixed, [(0, 2, 5)], [2, 3], 6).decide(np.zeros((1, 30, 6), np.float32))
    found_BL = decision.labels_BL
    for before_L, after_L, probs_L in zip(labels_BL, found_BL, probs_BL, strict=True):
        best = max((0, 2, 5), key=lambda column: probs_L[column])
        wanted = {best} | {column for column in (1, 3, 4) if before_L[column]}
        chosen = max({2, 3} & wanted, key=lambda column: probs_L[column], default=None)
        if chosen == 2:
            wanted = {2}
        elif chosen == 3:
            wanted = {3}
        assert set(np.flatnonzero(after_L)) == wanted
    np.testing.assert_array_equal(fixed.said.labels_BL, labels_BL)  # not changed in place
    again = Constrained(Fixed(found_BL, probs_BL), [(0, 2, 5)], [2], 6)
    if not found_BL[:, 3].any():
        np.testing.assert_array_equal(again.decide(np.zeros((1, 30, 6), np.float32)).labels_BL, found_BL)
    np.testing.assert_array_equal(decision.votes_BL, labels_BL)
    np.testing.assert_array_equal(decision.probabilities_BL, probs_BL)
