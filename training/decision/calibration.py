"""Calibration: what share of the chips with such a mean probability truly have the label.

Each label gets a rising piecewise linear curve: isotonic regression or a temperature, whichever
has the lower log loss on chips it was not fitted on.

Shape suffixes: N chips, L labels, K knots.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import KFold

SPLITS = 5
KNOTS = 65  # of a temperature's curve, evenly spread over its logits
EDGE = 1e-6  # probabilities closer to 0 or 1 than this are taken as this
TEMPERATURES = (0.05, 20.0)  # beyond, all probabilities would be the same

Floats = npt.NDArray[np.float64]
Truth = npt.NDArray[np.bool_]
Knots = tuple[tuple[float, float], ...]


def calibrate(probs_NL: Floats, targets_NL: Truth, seed: int) -> tuple[Knots, ...]:
    """Return each label's curve as knots (probability, calibrated), both rising.

    Args:
        probs_NL: mean probabilities of networks that did not train on the chip.
        targets_NL: the truth.
        seed: of the random splits that choose between the two curves.
    """
    return tuple(_calibrate(*columns, seed) for columns in zip(probs_NL.T, targets_NL.T, strict=True))


def isotonic(probs_N: Floats, targets_N: Truth) -> Floats:
    """Return the knots (K,2) of isotonic regression.

    After n chips nothing is surer than 1 in n + 2 (Laplace's rule of succession): a stretch of
    chips that all agree would otherwise promise certainty.
    """
    curve = IsotonicRegression().fit(probs_N, targets_N)
    sure = 1 / (len(probs_N) + 2)
    return np.stack([curve.X_thresholds_, curve.y_thresholds_.clip(sure, 1 - sure)], axis=1)


def temperature(probs_N: Floats, targets_N: Truth) -> Floats:
    """Return the knots (K,2) of sigmoid(logit / T), T of the lowest log loss.

    Source: Guo, Pleiss, Sun, Weinberger 2017, "On calibration of modern neural networks".
    """
    logits_N = logit(probs_N.clip(EDGE, 1 - EDGE))
    signs_N = np.where(targets_N, -1, 1)

    def loss(log_temperature: float) -> float:
        return float(np.logaddexp(0, signs_N * logits_N / np.exp(log_temperature)).mean())

    best = minimize_scalar(loss, bounds=np.log(TEMPERATURES), method="bounded").x
    knots_K = np.linspace(logit(EDGE), logit(1 - EDGE), KNOTS)
    return np.stack([expit(knots_K), expit(knots_K / np.exp(best))], axis=1)


def _calibrate(probs_N: Floats, targets_N: Truth, seed: int) -> Knots:
    best = min((isotonic, temperature), key=lambda curve: _unseen_loss(curve, probs_N, targets_N, seed))
    return tuple((float(x), float(y)) for x, y in best(probs_N, targets_N))


def _unseen_loss(
    curve: Callable[[Floats, Truth], Floats], probs_N: Floats, targets_N: Truth, seed: int
) -> float:
    calibrated_N = np.empty(len(probs_N))
    for seen, unseen in KFold(SPLITS, shuffle=True, random_state=seed).split(probs_N):
        calibrated_N[unseen] = np.interp(probs_N[unseen], *curve(probs_N[seen], targets_N[seen]).T)
    return float(log_loss(targets_N, calibrated_N, labels=[False, True]))
