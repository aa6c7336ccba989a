"""Per-label thresholds: exact coordinate ascent on sample-averaged F-beta, then shrinkage.

Pure numpy on probabilities and truth; knows no members, files or votes.

Shape suffixes: N chips, L labels.

Source: the objective is the mean over chips of
F = (1+β²)·TP / (β²·positives + predicted), scikit-learn's `fbeta_score(average="samples",
zero_division=1)`: a chip without labels that gets none counts 1.
"""

import numpy as np
import numpy.typing as npt

FLAT = 0.2  # the customary threshold for F2 and the prior that tuned thresholds shrink toward
# Positives at which a tuned threshold and the prior weigh the same; benchmarks/tuning.py compares.
SHRINKAGE = 4000.0
MAX_SWEEPS = 50
MIN_GAIN = 1e-9  # summed over chips; below it a change is rounding, and ascent could cycle

Probs = npt.NDArray[np.float32]
Truth = npt.NDArray[np.bool_]


def sample_fbeta(predicted_NL: Truth, targets_NL: Truth, beta: float = 2.0) -> npt.NDArray[np.float64]:
    """Return every chip's F-beta, (N,)."""
    hits_N = (predicted_NL & targets_NL).sum(axis=1)
    return _fbeta(hits_N, beta**2 * targets_NL.sum(axis=1) + predicted_NL.sum(axis=1), beta)


def tune(
    probs_NL: Probs,
    targets_NL: Truth,
    *,
    beta: float = 2.0,
    prior: float = FLAT,
    shrinkage: float = SHRINKAGE,
) -> npt.NDArray[np.float32]:
    """Find one threshold per label.

    Each threshold ends midway between two observed scores, so rounding moves no decision.

    Args:
        probs_NL: float32 probabilities the network did not train on.
        targets_NL: the truth.
        beta: weight of recall.
        prior: start of the ascent and target of the shrinkage.
        shrinkage: λ in t ← prior + (t - prior)·positives/(positives + λ); 0 keeps the raw optimum.

    Returns:
        float32 (L,).
    """
    raw_L = ascend(probs_NL, targets_NL, beta=beta, start=prior)
    positives_L = targets_NL.sum(axis=0)
    weight_L = positives_L / np.maximum(positives_L + shrinkage, 1e-9)
    shrunk_L = prior + (raw_L - prior) * weight_L
    sorted_LN = np.sort(np.ascontiguousarray(probs_NL.T), axis=1)
    return np.array(
        [
            _midway(scores_N, int(np.searchsorted(scores_N, np.float32(threshold))))
            for scores_N, threshold in zip(sorted_LN, shrunk_L, strict=True)
        ]
    )


def ascend(
    probs_NL: Probs, targets_NL: Truth, *, beta: float = 2.0, start: float = FLAT
) -> npt.NDArray[np.float32]:
    """Raise the mean F-beta one label at a time, each time to its exact optimum, until none moves.

    With the other labels fixed, setting label l on a chip changes that chip's F by a known
    amount; the best threshold is the best prefix of the chips sorted by score.

    Returns:
        float32 (L,), the raw optimum; see `tune` for what to use on unseen chips.
    """
    probs_LN = np.ascontiguousarray(probs_NL.T)
    # Half of all the time goes into this sort: not the stable one, which takes five times as long.
    ascending_LN = np.argsort(probs_LN, axis=1)
    sorted_LN = np.take_along_axis(probs_LN, ascending_LN, axis=1)
    truth_LN = np.ascontiguousarray(targets_NL.T)
    set_LN = probs_LN >= np.float32(start)
    cut_L = set_LN.shape[1] - set_LN.sum(axis=1)  # chips below the threshold
    hits_N = (set_LN & truth_LN).sum(axis=0)
    weight_N = beta**2 * truth_LN.sum(axis=0) + set_LN.sum(axis=0)
    for _ in range(MAX_SWEEPS):
        moved = False
        for label in range(len(truth_LN)):
            others_hits_N = hits_N - (set_LN[label] & truth_LN[label])
            others_weight_N = weight_N - set_LN[label]
            gain_N = _fbeta(others_hits_N + truth_LN[label], others_weight_N + 1, beta)
            gain_N -= _fbeta(others_hits_N, others_weight_N, beta)
            cut = _best_cut(gain_N[ascending_LN[label]], sorted_LN[label], int(cut_L[label]))
            if cut != cut_L[label]:
                moved, cut_L[label] = True, cut
                set_LN[label, ascending_LN[label]] = np.arange(set_LN.shape[1]) >= cut
                hits_N = others_hits_N + (set_LN[label] & truth_LN[label])
                weight_N = others_weight_N + set_LN[label]
        if not moved:
            break
    return np.array([_midway(scores, int(cut)) for scores, cut in zip(sorted_LN, cut_L, strict=True)])


def _fbeta(hits_N: np.ndarray, weight_N: np.ndarray, beta: float) -> npt.NDArray[np.float64]:
    """Return F-beta per chip from its hits and β²·positives + predicted."""
    return np.where(weight_N == 0, 1.0, (1 + beta**2) * hits_N / np.maximum(weight_N, 1))


def _best_cut(gain_N: np.ndarray, scores_N: np.ndarray, current: int) -> int:
    """Return how many of the lowest scores to leave out, keeping `current` unless another is better."""
    total_K = np.concatenate([np.cumsum(gain_N[::-1])[::-1], [0.0]])  # gain when the K lowest are left out
    allowed_K = np.ones(len(total_K), np.bool_)
    allowed_K[1:-1] = scores_N[1:] > scores_N[:-1]  # equal scores cannot be told apart
    allowed_K[-1] = scores_N[-1] < 1  # no threshold in 0..1 leaves out a score of 1
    best = int(np.argmax(np.where(allowed_K, total_K, -np.inf)))
    return best if total_K[best] > total_K[current] + MIN_GAIN else current


def _midway(sorted_N: np.ndarray, cut: int) -> np.float32:
    """Return the float32 threshold between the `cut` lowest scores and the rest."""
    low = sorted_N[cut - 1] if cut > 0 else np.float32(0)
    high = sorted_N[cut] if cut < len(sorted_N) else np.float32(1)
    middle = np.float32((np.float64(low) + np.float64(high)) / 2)
    return middle if middle > low else high
