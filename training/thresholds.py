"""Per-label thresholds: the exact optimum of F-beta, then shrinkage.

Pure numpy on one matrix of scores and the truth; knows no members, files or votes. Two objectives:

- "samples": the mean over chips of F = (1+β²)·TP / (β²·positives + predicted), scikit-learn's
  `fbeta_score(average="samples", zero_division=1)`: a chip without labels that gets none counts 1.
  Labels depend on each other, so it takes coordinate ascent.
- "macro": the mean over labels of the same F, counted down each label's column, scikit-learn's
  `average="macro"` over the labels that have positives. Labels are independent.

Shape suffixes: N chips, L labels, K chips left out (0..N).
"""

from itertools import cycle, islice
from typing import Literal

import numpy as np
import numpy.typing as npt

FLAT = 0.2  # the customary threshold for F2 and the prior that tuned thresholds shrink toward
# Positives at which a tuned threshold and the prior weigh the same; benchmarks/tuning.py compares.
SHRINKAGE = {"samples": 6000.0, "macro": 1.0}
MARGIN = np.float32(1e-4)  # what float16 moves a probability near the prior by; more costs F on unseen chips
MAX_SWEEPS = 50
MIN_GAIN = 1e-9  # summed over chips; below it a change is rounding, and ascent could cycle

Objective = Literal["samples", "macro"]
Shrinkage = float | Literal["usual"]  # "usual": the objective's in SHRINKAGE
Probs = npt.NDArray[np.float32]
Truth = npt.NDArray[np.bool_]


def sample_fbeta(predicted_NL: Truth, targets_NL: Truth, beta: float = 2.0) -> npt.NDArray[np.float64]:
    """Return every chip's F-beta, (N,)."""
    hits_N = (predicted_NL & targets_NL).sum(axis=1)
    return _fbeta(hits_N, beta**2 * targets_NL.sum(axis=1) + predicted_NL.sum(axis=1), beta)


def chip_scores(
    predicted_NL: Truth, targets_NL: Truth, objective: Objective = "samples", beta: float = 2.0
) -> npt.NDArray[np.float64]:
    """Return values per chip, (N,), whose mean is the objective and whose spread is its error.

    With "samples" these are the chips' own F-beta. Macro F-beta is no mean over chips: its values
    are F plus what each chip adds to a ratio of two sums, as far as that is linear (the delta method).
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


def tune(
    probs_NL: Probs,
    targets_NL: Truth,
    *,
    objective: Objective = "samples",
    beta: float = 2.0,
    prior: float = FLAT,
    shrinkage: Shrinkage = "usual",
) -> Probs:
    """Find one threshold per label: the objective's optimum, shrunk.

    Each threshold ends clear of the observed scores, so rounding moves no decision.

    Args:
        probs_NL: float32 probabilities the network did not train on.
        targets_NL: the truth.
        objective: what to raise.
        beta: weight of recall.
        prior: start of the ascent and target of the shrinkage.
        shrinkage: λ of `shrink`.

    Returns:
        float32 (L,).
    """
    raw_L = optimum(probs_NL, targets_NL, objective=objective, beta=beta, start=prior)
    strength = SHRINKAGE[objective] if shrinkage == "usual" else shrinkage
    return settle(probs_NL, shrink(raw_L, targets_NL.sum(axis=0), prior, strength))


def shrink(
    raw_L: npt.NDArray[np.floating], positives_L: npt.NDArray[np.integer], prior: float, strength: float
) -> npt.NDArray[np.float64]:
    """Return t ← prior + (t - prior)·positives/(positives + λ); λ = 0 keeps t, infinity gives the prior."""
    weight_L = positives_L / np.maximum(positives_L + strength, 1e-9)
    shrunk_L: npt.NDArray[np.float64] = prior + (raw_L - prior) * weight_L
    return shrunk_L


def settle(probs_NL: Probs, thresholds_L: npt.NDArray[np.floating]) -> Probs:
    """Move each threshold away from observed scores, so that rounding moves no decision.

    It stays between the same two scores, MARGIN from both, or midway where they are closer. Always
    midway would be wrong: a rare label may have no score between 0.1 and 0.9.

    Returns:
        float32 (L,).
    """
    sorted_LN = np.sort(np.ascontiguousarray(probs_NL.T), axis=1)
    settled = []
    for scores_N, threshold in zip(sorted_LN, np.asarray(thresholds_L, np.float32), strict=True):
        cut = int(np.searchsorted(scores_N, threshold))
        low, high = _neighbours(scores_N, cut)
        middle = _midway(scores_N, cut)
        wide = high - low > 2 * MARGIN
        settled.append(np.clip(threshold, low + MARGIN, high - MARGIN) if wide else middle)
    return np.array(settled, np.float32)


def optimum(
    probs_NL: Probs,
    targets_NL: Truth,
    *,
    objective: Objective = "samples",
    beta: float = 2.0,
    start: float = FLAT,
) -> Probs:
    """Return the raw optimum of the objective, float32 (L,); see `tune` for what to use on unseen chips."""
    find = ascend if objective == "samples" else label_optima
    return find(probs_NL, targets_NL, beta=beta, start=start)


def label_optima(probs_NL: Probs, targets_NL: Truth, *, beta: float = 2.0, start: float = FLAT) -> Probs:
    """Find each label's best F-beta over all its cuts; a label without positives keeps `start`.

    Returns:
        float32 (L,).
    """
    found = []
    for scores_N, truth_N in zip(probs_NL.T, targets_NL.T, strict=True):
        ascending_N = np.argsort(scores_N)
        sorted_N = scores_N[ascending_N]
        hits_K = _suffix_sums(truth_N[ascending_N])
        f_K = _fbeta(hits_K, beta**2 * hits_K[0] + np.arange(len(sorted_N), -1, -1), beta)
        current = int((sorted_N < np.float32(start)).sum())
        # times chips, as MIN_GAIN is meant; without a positive every cut is as good (or bad)
        best = _best_cut(f_K * len(sorted_N), sorted_N, current) if hits_K[0] else current
        found.append(_midway(sorted_N, best) if best != current else start)
    return np.array(found, np.float32)


def ascend(probs_NL: Probs, targets_NL: Truth, *, beta: float = 2.0, start: float = FLAT) -> Probs:
    """Raise the mean F-beta one label at a time, each time to its exact optimum, until none moves.

    With the other labels fixed, setting label l on a chip changes that chip's F by a known
    amount; the best threshold is the best prefix of the chips sorted by score.

    Returns:
        float32 (L,).
    """
    probs_LN = np.ascontiguousarray(probs_NL.T)
    # Half of all the time goes into this sort: not the stable one, which takes five times as long.
    ascending_LN = np.argsort(probs_LN, axis=1)
    sorted_LN = np.take_along_axis(probs_LN, ascending_LN, axis=1)
    truth_LN = np.ascontiguousarray(targets_NL.T)
    set_LN = probs_LN >= np.float32(start)
    start_L = set_LN.shape[1] - set_LN.sum(axis=1)  # chips below the threshold
    cut_L = start_L.copy()
    hits_N = (set_LN & truth_LN).sum(axis=0, dtype=np.float64)
    weight_N = beta**2 * truth_LN.sum(axis=0) + set_LN.sum(axis=0)
    settled = 0  # labels in a row that are at their optimum
    for label in islice(cycle(range(len(truth_LN))), MAX_SWEEPS * len(truth_LN)):
        others_hits_N = hits_N - (set_LN[label] & truth_LN[label])
        others_weight_N = weight_N - set_LN[label]
        gain_N = (1 + beta**2) * (others_hits_N + truth_LN[label]) / (others_weight_N + 1)
        gain_N -= _fbeta(others_hits_N, others_weight_N, beta)
        total_K = _suffix_sums(gain_N[ascending_LN[label]])
        cut = _best_cut(total_K, sorted_LN[label], int(cut_L[label]))
        settled += 1
        if cut != cut_L[label]:
            settled, cut_L[label] = 1, cut
            set_LN[label, ascending_LN[label]] = np.arange(set_LN.shape[1]) >= cut
            hits_N = others_hits_N + (set_LN[label] & truth_LN[label])
            weight_N = others_weight_N + set_LN[label]
        if settled == len(truth_LN):
            break
    raw_L = np.full(len(sorted_LN), np.float32(start))
    for index in np.flatnonzero(cut_L != start_L):  # one that stayed says no more than the start
        raw_L[index] = _midway(sorted_LN[index], int(cut_L[index]))
    return raw_L


def _fbeta(hits_N: np.ndarray, weight_N: np.ndarray, beta: float) -> npt.NDArray[np.float64]:
    """Return F-beta per chip from its hits and β²·positives + predicted."""
    return np.where(weight_N == 0, 1.0, (1 + beta**2) * hits_N / np.maximum(weight_N, 1))


def _suffix_sums(values_N: np.ndarray) -> np.ndarray:
    """Return the sum of all but the K lowest, for every K in 0..N."""
    sums_K = np.zeros(len(values_N) + 1)
    np.cumsum(values_N[::-1], out=sums_K[1:])
    return sums_K[::-1]


def _best_cut(total_K: np.ndarray, scores_N: np.ndarray, current: int) -> int:
    """Return how many of the lowest scores to leave out, keeping `current` unless another is better."""
    allowed_K = np.ones(len(total_K), np.bool_)
    allowed_K[1:-1] = scores_N[1:] > scores_N[:-1]  # equal scores cannot be told apart
    allowed_K[-1] = scores_N[-1] < 1  # no threshold in 0..1 leaves out a score of 1
    best = int(np.argmax(np.where(allowed_K, total_K, -np.inf)))
    return best if total_K[best] > total_K[current] + MIN_GAIN else current


def _neighbours(sorted_N: np.ndarray, cut: int) -> tuple[np.float32, np.float32]:
    """Return the highest score left out and the lowest kept; 0 and 1 where there is none."""
    low = sorted_N[cut - 1] if cut > 0 else np.float32(0)
    high = sorted_N[cut] if cut < len(sorted_N) else np.float32(1)
    return low, high


def _midway(sorted_N: np.ndarray, cut: int) -> np.float32:
    """Return the float32 threshold between the `cut` lowest scores and the rest."""
    low, high = _neighbours(sorted_N, cut)
    middle = np.float32((np.float64(low) + np.float64(high)) / 2)
    return middle if middle > low else high
