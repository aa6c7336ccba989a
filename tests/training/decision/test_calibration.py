"""Shape suffixes: N chips, L labels, K knots."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import log_loss

from tests.kit.fakes import Array
from training.decision.calibration import calibrate, isotonic, temperature


def chips(count: int, temperature: float, seed: int = 0) -> tuple[Array, Array]:
    """Probabilities that are true once their logits are divided by the temperature."""
    random = np.random.default_rng(seed)
    logits_N = random.normal(-0.5, 3, count)
    return expit(logits_N), random.random(count) < expit(logits_N / temperature)


@given(st.integers(0, 1000), st.integers(2, 200))
def test_isotonic_knots_are_scikit_learns_curve_short_of_certainty(seed: int, count: int) -> None:
    probs_N, targets_N = chips(count, 1.0, seed)
    expected_N = IsotonicRegression(out_of_bounds="clip").fit(probs_N, targets_N).predict(probs_N)
    found_N = np.interp(probs_N, *isotonic(probs_N, targets_N).T)
    sure = 1 / (count + 2)
    np.testing.assert_allclose(found_N.clip(sure, 1 - sure), expected_N.clip(sure, 1 - sure), atol=1e-12)
    assert found_N.min() >= sure
    assert found_N.max() <= 1 - sure


@pytest.mark.parametrize("planted", [0.5, 1.0, 3.0])
def test_the_temperature_has_the_lowest_log_loss(planted: float) -> None:
    probs_N, targets_N = chips(4000, planted)
    knots_K2 = temperature(probs_N, targets_N)
    middle = len(knots_K2) // 2 + 1
    found = logit(knots_K2[middle, 0]) / logit(knots_K2[middle, 1])
    assert found == pytest.approx(planted, rel=0.1)
    best = log_loss(targets_N, expit(logit(probs_N) / found))
    assert best == pytest.approx(log_loss(targets_N, np.interp(probs_N, *knots_K2.T)), abs=1e-3)
    for factor in (0.9, 1.1):
        assert best < log_loss(targets_N, expit(logit(probs_N) / (found * factor)))


def test_each_label_gets_the_curve_that_holds_on_other_chips() -> None:
    """A temperature for few chips; isotonic steps for many that no temperature describes."""
    probs_N, targets_N = chips(60, 2.0)
    (few,) = calibrate(probs_N[:, None], targets_N[:, None], 0)
    assert few == tuple(map(tuple, temperature(probs_N, targets_N).tolist()))
    random = np.random.default_rng(0)
    probs_N = random.random(4000)
    targets_N = random.random(4000) < np.where(probs_N < 0.7, 0.02, 0.3)
    (many,) = calibrate(probs_N[:, None], targets_N[:, None], 0)
    assert many == tuple(map(tuple, isotonic(probs_N, targets_N).tolist()))
    both = calibrate(np.stack([probs_N, expit(logit(probs_N))], 1), np.stack([targets_N] * 2, 1), 0)
    assert both[0] == many


def test_knots_rise_also_for_labels_that_no_chip_or_every_chip_has() -> None:
    probs_N, _ = chips(50, 1.0)
    targets_NL = np.stack([np.zeros(50, np.bool_), np.ones(50, np.bool_), probs_N < 0.5], axis=1)
    for knots in calibrate(np.stack([probs_N] * 3, axis=1), targets_NL, 0):
        steps_K2 = np.diff(np.array(knots).reshape(-1, 2), axis=0)
        assert (steps_K2[:, 0] > 0).all()
        assert (steps_K2[:, 1] >= 0).all()
        assert 0 <= knots[0][1] <= knots[-1][1] <= 1
