"""Per-label thresholds: the exact optimum of F-beta on one matrix of scores.

Pure numpy; knows no members, files or votes. With the objective "samples" labels depend on each
other, so it takes coordinate ascent; with "macro" they are independent.

Shape suffixes: N chips, L labels, K chips left out (0..N).
"""

from itertools import cycle, islice

import numpy as np

from training.config.schema import FLAT
from training.decision.fbeta import Objective, Probs, Truth, fbeta

MAX_SWEEPS = 50


MIN_GAIN = 1e-9  # summed over chips; below it a change is rounding, and ascent could cycle


def optimum(
    probs_NL: Probs,
    targets_NL: Truth,
    *,
    objective: Objective = "samples",
    beta: float = 2.0,
    start: float = FLAT,
) -> Probs:
    """Return the objective's raw optimum, float32 (L,); for unseen chips: `thresholds.tune_row`."""
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
        f_K = fbeta(hits_K, beta**2 * hits_K[0] + np.arange(len(sorted_N), -1, -1), beta)
        current = int((sorted_N < np.float32(start)).sum())
        # times chips, as MIN_GAIN is meant; without a positive every cut is as good (or bad)
        best = _best_cut(f_K * len(sorted_N), sorted_N, current) if hits_K[0] else current
        found.append(midway(sorted_N, best) if best != current else start)
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
        gain_N -= fbeta(others_hits_N, others_weight_N, beta)
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
        raw_L[index] = midway(sorted_LN[index], int(cut_L[index]))
    return raw_L


def _suffix_sums(values_N: np.ndarray) -> np.ndarray:
    """Return the sum of all but the K lowest, for every K in 0..N."""
    sums_K = np.zeros(len(values_N) + 1)
    np.cumsum(values_N[::-1], out=sums_K[1:])
    return sums_K[::-1]


def _best_cut(total_K: np.ndarray, scores_N: np.ndarray, current: int) -> int:
    """Return how many of the lowest scores to leave out: `current` unless another is better."""
    allowed_K = np.ones(len(total_K), np.bool_)
    allowed_K[1:-1] = scores_N[1:] > scores_N[:-1]  # equal scores cannot be told apart
    allowed_K[-1] = scores_N[-1] < 1  # no threshold in 0..1 leaves out a score of 1
    best = int(np.argmax(np.where(allowed_K, total_K, -np.inf)))
    return best if total_K[best] > total_K[current] + MIN_GAIN else current


def neighbours(sorted_N: np.ndarray, cut: int) -> tuple[np.float32, np.float32]:
    """Return the highest score left out and the lowest kept; 0 and 1 where there is none."""
    low = sorted_N[cut - 1] if cut > 0 else np.float32(0)
    high = sorted_N[cut] if cut < len(sorted_N) else np.float32(1)
    return low, high


def midway(sorted_N: np.ndarray, cut: int) -> np.float32:
    """Return the float32 threshold between the `cut` lowest scores and the rest."""
    low, high = neighbours(sorted_N, cut)
    middle = np.float32((np.float64(low) + np.float64(high)) / 2)
    return middle if middle > low else high
