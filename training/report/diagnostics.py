"""What a report shows beyond scores: calibration, curves, votes, co-occurrence, the worst chips.

Numbers only: `figures.py` draws them.

Shape suffixes: A architectures, N chips, L labels, K bins or points of a curve.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.metrics import precision_recall_curve

from training.decision.fbeta import sample_fbeta

BINS = 10
CURVE_POINTS = 101

Probs = npt.NDArray[np.float32]
Labels = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Reliability:
    """Of the chips given about this probability, how many have the label; empty bins left out."""

    probability_K: Floats  # mean of the bin
    frequency_K: Floats
    count_K: npt.NDArray[np.int64]

    @property
    def expected_error(self) -> float:
        """Expected calibration error: the mean gap between the two, weighted by chips.

        Source: Naeini, Cooper, Hauskrecht 2015, "Obtaining Well Calibrated Probabilities Using
        Bayesian Binning".
        """
        gap_K = np.abs(self.probability_K - self.frequency_K)
        return float((gap_K * self.count_K).sum() / self.count_K.sum())


def reliability(probs_N: Probs, targets_N: Labels) -> Reliability:
    """Put one label's chips into bins of equal width by their probability."""
    bin_N = np.minimum((probs_N * BINS).astype(np.int64), BINS - 1)
    count_K = np.bincount(bin_N, minlength=BINS)
    filled_K = count_K > 0
    probability_K, frequency_K = (
        np.bincount(bin_N, weights=values_N, minlength=BINS)[filled_K] / count_K[filled_K]
        for values_N in (probs_N, targets_N)
    )
    return Reliability(probability_K, frequency_K, count_K[filled_K])


def precision_by_recall(probs_N: Probs, targets_N: Labels) -> tuple[Floats, Floats]:
    """Return recall in equal steps and the precision at the highest threshold that reaches each.

    However many chips there are, the curve has 101 points.

    Raises:
        ValueError: no chip has the label.
    """
    if not targets_N.any():
        raise ValueError("no chip has the label: recall is not defined")
    precision_T, recall_T, _ = precision_recall_curve(targets_N, probs_N)
    recall_K = np.linspace(0, 1, CURVE_POINTS)
    # Recall falls along T: counted from its end, the first that reaches the step. The very last is
    # scikit-learn's end point at recall 0, which no threshold gives.
    first_K = np.searchsorted(recall_T[-2::-1], recall_K - 1e-9)
    return recall_K, precision_T[-2::-1][first_K]


def operating_point(predicted_N: Labels, targets_N: Labels) -> tuple[float, float]:
    """Return recall and precision of a decision; the precision of no decision is 1."""
    hits = float((predicted_N & targets_N).sum())
    return hits / max(targets_N.sum(), 1), hits / predicted_N.sum() if predicted_N.any() else 1.0


@dataclass(frozen=True)
class Margins:
    """How many members would have to change their mind to tip a decision, and was it right?

    Positive margins are labels that were set, negative ones labels that were not.
    """

    votes_K: npt.NDArray[np.int64]
    right_K: npt.NDArray[np.int64]
    wrong_K: npt.NDArray[np.int64]


def vote_margins(probs_ANL: Probs, thresholds_AL: Probs, quorum: int, targets_NL: Labels) -> Margins:
    """Count the decisions by their distance from tipping."""
    votes_NL = (probs_ANL >= thresholds_AL[:, None]).sum(axis=0)
    set_NL = votes_NL >= quorum
    margin_NL = np.where(set_NL, votes_NL - quorum + 1, votes_NL - quorum)
    votes_K = np.array([k for k in range(-quorum, len(probs_ANL) - quorum + 2) if k])
    right_NL = set_NL == targets_NL
    right_K, wrong_K = (
        np.array([(margin_NL[chosen_NL] == k).sum() for k in votes_K]) for chosen_NL in (right_NL, ~right_NL)
    )
    return Margins(votes_K, right_K, wrong_K)


def cooccurrence(labels_NL: Labels) -> Floats:
    """Return (L,L): of chips with the row's label, the share with the column's; nan for none."""
    together_LL = labels_NL.T.astype(np.float64) @ labels_NL
    chips_L = together_LL.diagonal()
    with np.errstate(invalid="ignore"):
        return np.where(chips_L[:, None] > 0, together_LL / chips_L[:, None], np.nan)


def worst_chips(predicted_NL: Labels, probs_NL: Probs, targets_NL: Labels, count: int) -> list[int]:
    """Return the chips with the lowest F2 that have an error, the most confident errors first."""
    f2_N = sample_fbeta(predicted_NL, targets_NL)
    wrong_NL = predicted_NL != targets_NL
    confidence_N = np.where(wrong_NL, np.abs(probs_NL - targets_NL), 0).sum(axis=1)
    order = np.lexsort((-confidence_N, f2_N))
    return [int(chip) for chip in order[: min(count, int(wrong_NL.any(axis=1).sum()))]]


def sample_of_every_label(targets_NL: Labels, per_label: int, seed: int) -> list[int]:
    """Draw chips until each label is on `per_label` of them (or all it has), rare labels first.

    Blind to the predictions, so that a contact sheet flatters nobody.
    """
    random = np.random.default_rng(seed)
    chosen_N = np.zeros(len(targets_NL), np.bool_)
    for label in np.argsort(targets_NL.sum(axis=0), kind="stable"):
        missing = per_label - int(targets_NL[chosen_N, label].sum())
        candidates = random.permutation(np.flatnonzero(targets_NL[:, label] & ~chosen_N))
        chosen_N[candidates[: max(missing, 0)]] = True
    return [int(chip) for chip in random.permutation(np.flatnonzero(chosen_N))]
