"""A second level: every label's score as a ridge regression on all members' probabilities.

Knows arrays only. The regression sees out-of-fold probabilities, so it learns how far each
member can be trusted on chips it has not seen.

Shape suffixes: A architectures, N chips, L labels, J = A·L features.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold, cross_val_predict

ALPHAS = np.logspace(-1, 4, 11)  # penalties to choose from, each label its own
SPLITS = 5

Probs = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
Truth = npt.NDArray[np.bool_]


class Linear(NamedTuple):
    """Scores = intercepts + Σ over architectures and labels of probability · coefficient."""

    coefficients_ALL: Floats  # [architecture, from label, to label]
    intercepts_L: Floats


def fit_blend(probs_ANL: Probs, targets_NL: Truth, label_mask_AL: Truth) -> Linear:
    """Fit the ridge regressions, each label's penalty chosen by leave-one-out cross-validation.

    Args:
        probs_ANL: probabilities of networks that did not train on the chip.
        targets_NL: the truth.
        label_mask_AL: False where an architecture has no say; its coefficient is 0.
    """
    ridge = _ridge().fit(_features(probs_ANL, label_mask_AL), targets_NL.astype(np.float64))
    coefficients_ALL = ridge.coef_.T.reshape(*label_mask_AL.shape, -1)
    return Linear(np.where(label_mask_AL[..., None], coefficients_ALL, 0), ridge.intercept_)


def unseen_scores(probs_ANL: Probs, targets_NL: Truth, label_mask_AL: Truth, seed: int) -> Probs:
    """Return every chip's scores (N,L), clipped to 0..1, from a regression that left it out."""
    splits = KFold(SPLITS, shuffle=True, random_state=seed)
    features_NJ = _features(probs_ANL, label_mask_AL)
    scores_NL = cross_val_predict(_ridge(), features_NJ, targets_NL.astype(np.float64), cv=splits)
    return np.asarray(scores_NL.clip(0, 1), np.float32)


def _ridge() -> Any:  # noqa: ANN401 — scikit-learn publishes no types
    return RidgeCV(ALPHAS, alpha_per_target=True)


def _features(probs_ANL: Probs, label_mask_AL: Truth) -> Floats:
    heard_ANL = np.where(label_mask_AL[:, None], probs_ANL, 0).astype(np.float64)
    return np.moveaxis(heard_ANL, 0, 1).reshape(probs_ANL.shape[1], -1)
