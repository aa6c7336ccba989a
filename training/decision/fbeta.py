"""F-beta as it is counted: per chip, or down each label's column.

- "samples": the mean over chips of F = (1+β²)·TP / (β²·positives + predicted), scikit-learn's
  `fbeta_score(average="samples", zero_division=1)`: a chip without labels that gets none counts 1.
- "macro": the mean over labels of the same F, counted down each label's column, scikit-learn's
  `average="macro"` over the labels that have positives.

Shape suffixes: N chips, L labels.
"""

from typing import Literal

import numpy as np
import numpy.typing as npt

Objective = Literal["samples", "macro"]


Probs = npt.NDArray[np.float32]


Truth = npt.NDArray[np.bool_]


def sample_fbeta(predicted_NL: Truth, targets_NL: Truth, beta: float = 2.0) -> npt.NDArray[np.float64]:
    """Return every chip's F-beta, (N,)."""
    hits_N = (predicted_NL & targets_NL).sum(axis=1)
    return fbeta(hits_N, beta**2 * targets_NL.sum(axis=1) + predicted_NL.sum(axis=1), beta)


def chip_scores(
    predicted_NL: Truth, targets_NL: Truth, objective: Objective = "samples", beta: float = 2.0
) -> npt.NDArray[np.float64]:
    """Return values per chip, (N,), whose mean is the objective and whose spread is its error.

    With "samples" these are the chips' own F-beta. Macro F-beta is no mean over chips: its values
    are F plus what each chip adds to a ratio of two sums, made linear (the delta method).
    """
    if objective == "samples":
        return sample_fbeta(predicted_NL, targets_NL, beta)
    seen_L = targets_NL.any(axis=0)
    if not seen_L.any():
        return np.zeros(len(targets_NL))
    targets_NL, predicted_NL = targets_NL[:, seen_L], predicted_NL[:, seen_L]
    hits_NL = (1 + beta**2) * (predicted_NL & targets_NL)
    weight_NL = beta**2 * targets_NL + predicted_NL
    mean_L = weight_NL.mean(axis=0)
    f_L = hits_NL.mean(axis=0) / mean_L
    values_N: npt.NDArray[np.float64] = (f_L + (hits_NL - f_L * weight_NL) / mean_L).mean(axis=1)
    return values_N


def fbeta(hits_N: np.ndarray, weight_N: np.ndarray, beta: float) -> npt.NDArray[np.float64]:
    """Return F-beta per chip from its hits and β²·positives + predicted."""
    return np.where(weight_N == 0, 1.0, (1 + beta**2) * hits_N / np.maximum(weight_N, 1))
