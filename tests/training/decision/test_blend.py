"""Shape suffixes: A architectures, N chips, L labels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold

from service.contract.decision import Blender
from tests.kit.fakes import Array
from training.decision.blend import ALPHAS, SPLITS, fit_blend, unseen_scores


def chips(seed: int = 0, architectures: int = 2, count: int = 120) -> tuple[Array, Array]:
    """Probabilities that know something, the first architecture more than the others."""
    random = np.random.default_rng(seed)
    targets_NL = random.random((count, 3)) < 0.4
    noise_A = np.linspace(1, 4, architectures)[:, None, None]
    logits_ANL = random.normal(3.0 * targets_NL - 1.5, noise_A, (architectures, count, 3))
    return (1 / (1 + np.exp(-logits_ANL))).astype(np.float32), targets_NL


def flat(probs_ANL: Array) -> Array:
    return np.concatenate(list(probs_ANL), axis=1).astype(np.float64)


@given(st.integers(0, 1000))
@settings(max_examples=10)
def test_a_served_blend_predicts_like_scikit_learns_ridge(seed: int) -> None:
    """Each label's regression is scikit-learn's at the penalty that is best by leave-one-out."""
    probs_ANL, targets_NL = chips(seed)
    linear = fit_blend(probs_ANL, targets_NL, np.ones((2, 3), np.bool_))
    blender = Blender(*linear, np.full(3, 0.5, np.float32))
    scores_NL = blender.decide(probs_ANL).probabilities_BL
    for label in range(3):
        ridges = [Ridge(alpha).fit(flat(probs_ANL), targets_NL[:, label].astype(float)) for alpha in ALPHAS]
        losses = [left_out_loss(alpha, flat(probs_ANL), targets_NL[:, label]) for alpha in ALPHAS]
        predicted_N = ridges[int(np.argmin(losses))].predict(flat(probs_ANL))
        np.testing.assert_allclose(scores_NL[:, label], predicted_N.clip(0, 1), rtol=0, atol=1e-5)


def left_out_loss(alpha: float, features_NJ: Array, targets_N: Array) -> float:
    """The mean squared error of leave-one-out, by the textbook's hat matrix."""
    centred_NJ = features_NJ - features_NJ.mean(axis=0)
    gram_JJ = centred_NJ.T @ centred_NJ + alpha * np.eye(features_NJ.shape[1])
    hat_NN = centred_NJ @ np.linalg.solve(gram_JJ, centred_NJ.T) + 1 / len(targets_N)
    residual_N = targets_N - hat_NN @ targets_N
    return float((residual_N / (1 - np.diag(hat_NN))).__pow__(2).mean())


def test_the_better_architecture_counts_more() -> None:
    probs_ANL, targets_NL = chips(count=600)
    coefficients_ALL = fit_blend(probs_ANL, targets_NL, np.ones((2, 3), np.bool_)).coefficients_ALL
    for label in range(3):
        assert coefficients_ALL[0, label, label] > 2 * coefficients_ALL[1, label, label] > 0


def test_a_label_on_which_an_architecture_has_no_say_is_not_heard() -> None:
    probs_ANL, targets_NL = chips()
    label_mask_AL = np.array([[True, False, True], [True, True, True]])
    coefficients_ALL, intercepts_L = fit_blend(probs_ANL, targets_NL, label_mask_AL)
    assert not coefficients_ALL[0, 1].any()
    assert coefficients_ALL[0, 0].any()
    changed_ANL = probs_ANL.copy()
    changed_ANL[0, :, 1] = 0.5
    again = fit_blend(changed_ANL, targets_NL, label_mask_AL)
    np.testing.assert_array_equal(again.coefficients_ALL, coefficients_ALL)
    np.testing.assert_array_equal(again.intercepts_L, intercepts_L)
    scores_NL = unseen_scores(probs_ANL, targets_NL, label_mask_AL, 0)
    np.testing.assert_array_equal(unseen_scores(changed_ANL, targets_NL, label_mask_AL, 0), scores_NL)


def test_unseen_scores_come_from_a_regression_that_left_the_chip_out() -> None:
    probs_ANL, targets_NL = chips()
    label_mask_AL = np.ones((2, 3), np.bool_)
    scores_NL = unseen_scores(probs_ANL, targets_NL, label_mask_AL, 7)
    assert scores_NL.dtype == np.float32
    assert scores_NL.min() >= 0
    assert scores_NL.max() <= 1
    for seen, unseen in KFold(SPLITS, shuffle=True, random_state=7).split(targets_NL):
        linear = fit_blend(probs_ANL[:, seen], targets_NL[seen], label_mask_AL)
        expected_NL = flat(probs_ANL[:, unseen]) @ linear.coefficients_ALL.reshape(6, 3) + linear.intercepts_L
        assert scores_NL[unseen] == pytest.approx(expected_NL.clip(0, 1), abs=1e-6)


def test_a_label_that_no_chip_has_scores_nothing() -> None:
    probs_ANL, targets_NL = chips()
    targets_NL[:, 1] = False
    coefficients_ALL, intercepts_L = fit_blend(probs_ANL, targets_NL, np.ones((2, 3), np.bool_))
    assert np.abs(coefficients_ALL[:, :, 1]).max() < 1e-12
    assert intercepts_L[1] == pytest.approx(0)
