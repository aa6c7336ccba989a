"""Shape suffixes: A architectures, N chips, L labels, K bins or points of a curve."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import precision_recall_curve, precision_score, recall_score

from tests.kit.fakes import majority
from training.decision.fbeta import sample_fbeta
from training.report.diagnostics import (
    cooccurrence,
    operating_point,
    precision_by_recall,
    reliability,
    sample_of_every_label,
    vote_margins,
    worst_chips,
)

RANDOM = np.random.default_rng(0)
TARGETS_NL = RANDOM.random((200, 4)) < (0.5, 0.3, 0.1, 0.04)
PROBS_ANL = np.clip(TARGETS_NL * 0.3 + RANDOM.random((3, 200, 4)) * 0.7, 0, 1).astype(np.float32)
PROBS_NL = PROBS_ANL.mean(axis=0)
PREDICTED_NL = PROBS_NL >= 0.5


def test_bins_are_scikit_learns() -> None:
    found = reliability(PROBS_NL[:, 0], TARGETS_NL[:, 0])
    frequency_K, probability_K = calibration_curve(TARGETS_NL[:, 0], PROBS_NL[:, 0], n_bins=10)
    np.testing.assert_allclose(found.frequency_K, frequency_K)
    np.testing.assert_allclose(found.probability_K, probability_K, rtol=1e-6)
    assert found.count_K.sum() == 200


def test_the_expected_calibration_error_by_hand() -> None:
    probs_N = np.array([0.15, 0.15, 0.15, 0.15, 0.95, 1.0], np.float32)
    targets_N = np.array([1, 0, 0, 0, 1, 0], np.bool_)
    # four chips at 0.15 with a quarter positive, two at 0.975 with half
    assert reliability(probs_N, targets_N).expected_error == pytest.approx((4 * 0.10 + 2 * 0.475) / 6)
    honest = reliability(np.array([0.5, 0.5], np.float32), np.array([True, False]))
    assert honest.expected_error == 0


def test_the_short_curve_lies_on_scikit_learns() -> None:
    recall_K, precision_K = precision_by_recall(PROBS_NL[:, 1], TARGETS_NL[:, 1])
    precision_T, recall_T, _ = precision_recall_curve(TARGETS_NL[:, 1], PROBS_NL[:, 1])
    assert (recall_K[0], recall_K[-1], len(recall_K)) == (0, 1, 101)
    for recall, precision in zip(recall_K, precision_K, strict=True):
        reached = np.flatnonzero(recall_T[:-1] >= recall - 1e-9)  # thresholds rise along T
        assert precision == precision_T[reached[-1]]
    with pytest.raises(ValueError, match="no chip has the label"):
        precision_by_recall(PROBS_NL[:, 1], np.zeros(200, np.bool_))


def test_an_operating_point_is_recall_and_precision() -> None:
    for predicted_N, targets_N in zip(PREDICTED_NL.T, TARGETS_NL.T, strict=True):
        expected = (
            recall_score(targets_N, predicted_N),
            precision_score(targets_N, predicted_N, zero_division=1.0),
        )
        assert operating_point(predicted_N, targets_N) == pytest.approx(expected)
    none_N = np.zeros(200, np.bool_)
    assert operating_point(none_N, TARGETS_NL[:, 0]) == (0, 1)


@pytest.mark.parametrize("quorum", [1, 2, 3])
def test_margins_count_the_members_that_would_tip_a_decision(quorum: int) -> None:
    thresholds_AL = np.full((3, 4), 0.4, np.float32)
    found = vote_margins(PROBS_ANL, thresholds_AL, quorum, TARGETS_NL)
    assert found.votes_K.tolist() == [k for k in range(-quorum, 3 - quorum + 2) if k]
    assert (found.right_K + found.wrong_K).sum() == TARGETS_NL.size
    decided = majority(PROBS_ANL, thresholds_AL, quorum)
    set_K = found.votes_K > 0
    assert (found.right_K + found.wrong_K)[set_K].sum() == decided.labels_BL.sum()
    assert found.wrong_K.sum() == (decided.labels_BL != TARGETS_NL).sum()
    # one vote from tipping: quorum votes exactly, or one less
    closest = {-1: quorum - 1, 1: quorum}
    for margin, votes in closest.items():
        right = (decided.votes_BL == votes) & (decided.labels_BL == TARGETS_NL)
        assert found.right_K[found.votes_K == margin] == right.sum()


def test_cooccurrence_is_a_conditional_share() -> None:
    labels_NL = np.array([[1, 1, 0], [1, 0, 0], [1, 1, 0], [1, 0, 0]], np.bool_)
    expected = [[1, 0.5, 0], [1, 1, 0], [np.nan] * 3]
    np.testing.assert_array_equal(cooccurrence(labels_NL), expected)


def test_the_worst_chips_come_first_and_right_ones_never() -> None:
    worst = worst_chips(PREDICTED_NL, PROBS_NL, TARGETS_NL, 30)
    f2_N = sample_fbeta(PREDICTED_NL, TARGETS_NL)
    assert len(worst) == len(set(worst)) == 30
    assert list(f2_N[worst]) == sorted(f2_N)[:30]
    targets_NL = np.array([[1, 0], [1, 0], [1, 0]], np.bool_)
    probs_NL = np.array([[0.4, 0.6], [0.1, 0.9], [0.9, 0.1]], np.float32)
    assert worst_chips(probs_NL >= 0.5, probs_NL, targets_NL, 9) == [1, 0]


def test_the_sample_shows_every_label_often_enough() -> None:
    chosen = sample_of_every_label(TARGETS_NL, 5, seed=1)
    assert len(set(chosen)) == len(chosen) <= 20
    shown_L = TARGETS_NL[chosen].sum(axis=0)
    assert (shown_L >= np.minimum(5, TARGETS_NL.sum(axis=0))).all()
    assert chosen == sample_of_every_label(TARGETS_NL, 5, seed=1)
    assert chosen != sample_of_every_label(TARGETS_NL, 5, seed=2)
