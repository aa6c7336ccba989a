"""How many votes each member has: selected, weighted, or one each.

A label is set when the members that reach their thresholds for it hold a strict majority of all
votes on it. Pure numpy; knows no files.

Shape suffixes: A architectures, N chips, L labels.
"""

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from service.contract.decision import strict_majority
from training.config.schema import DecisionConfig
from training.decision.fbeta import Probs, Truth, chip_scores

Weights = npt.NDArray[np.int64]

MAX_WEIGHT = 3
CLEAR = 2.0  # standard errors by which tuned weights must beat equal ones
MIN_GAIN = 1e-12  # below it a change of the mean is rounding


def tune_weights(
    probs_ANL: Probs, thresholds_AL: Probs, targets_NL: Truth, label_mask_AL: Truth, decision: DecisionConfig
) -> Weights:
    """Return whole votes per member and label, (A,L); 0 where a member has no say or is left out.

    With members "greedy" a member's votes are how often forward selection took it; with weights
    "tuned" coordinate ascent then tries 1 to 3 votes for every member that is still in.

    Args:
        probs_ANL: float32 out-of-fold probabilities.
        thresholds_AL: float32 thresholds.
        targets_NL: the truth.
        label_mask_AL: which member votes on which label.
        decision: objective, beta, weights and members.
    """
    ballots_ANL = (probs_ANL >= thresholds_AL[:, None, :]) & label_mask_AL[:, None, :]

    def score(weights_A: Weights) -> npt.NDArray[np.float64]:
        labels_NL = weighted_vote(ballots_ANL, weights_A[:, None] * label_mask_AL)
        return chip_scores(labels_NL, targets_NL, decision.objective, decision.beta)

    weights_A = np.ones(len(probs_ANL), np.int64)
    if decision.members == "greedy":
        weights_A = _select(score, label_mask_AL)
    if decision.weights == "tuned":
        weights_A = _ascend(score, weights_A)
    return weights_A[:, None] * label_mask_AL


def weighted_vote(ballots_ANL: Truth, weights_AL: Weights) -> Truth:
    """Return the label sets (N,L) that hold a strict majority of the votes on each label."""
    votes_NL = np.zeros(ballots_ANL.shape[1:], np.int64)
    for ballots_NL, weights_L in zip(ballots_ANL, weights_AL, strict=True):
        votes_NL += ballots_NL * weights_L
    labels_NL: Truth = votes_NL >= [strict_majority(int(total)) for total in weights_AL.sum(axis=0)]
    return labels_NL


def _select(score: Callable[[Weights], npt.NDArray[np.float64]], label_mask_AL: Truth) -> Weights:
    """Add the member that helps most, again and again; return the counts of the best round.

    As long as no added member has a say on some label, only members that have one are added, and
    no round counts.

    Source: Caruana et al. 2004, "Ensemble selection from libraries of models", with replacement.
    """
    one_AA = np.eye(len(label_mask_AL), dtype=np.int64)
    counts_A, best_A, best = np.zeros_like(one_AA[0]), one_AA[0], -math.inf
    for _ in range(MAX_WEIGHT * len(label_mask_AL)):
        open_L = ~label_mask_AL[counts_A > 0].any(axis=0)
        asked_A = np.flatnonzero(label_mask_AL[:, open_L].any(axis=1) | ~open_L.any())
        values = [float(score(counts_A + one_A).mean()) for one_A in one_AA[asked_A]]
        counts_A = counts_A + one_AA[asked_A[int(np.argmax(values))]]
        if max(values) > best + MIN_GAIN and label_mask_AL[counts_A > 0].any(axis=0).all():
            best_A, best = counts_A, max(values)
    return _reduced(best_A)


def _ascend(score: Callable[[Weights], npt.NDArray[np.float64]], start_A: Weights) -> Weights:
    """Change one member's votes at a time while it helps; keep `start_A` without clear gain."""
    weights_A, best = start_A, float(score(start_A).mean())
    moved = True
    while moved:
        moved = False
        for member in np.flatnonzero(start_A):
            for votes in range(1, MAX_WEIGHT + 1):
                tried_A = weights_A.copy()
                tried_A[member] = votes
                value = float(score(tried_A).mean())
                if value > best + MIN_GAIN:
                    weights_A, best, moved = tried_A, value, True
    gain_N = score(weights_A) - score(start_A)
    clear = gain_N.mean() > CLEAR * gain_N.std() / math.sqrt(len(gain_N))
    return _reduced(weights_A if clear else start_A)


def _reduced(weights_A: Weights) -> Weights:
    """Divide by the common divisor, which changes no strict majority."""
    reduced_A: Weights = weights_A // np.gcd.reduce(weights_A)
    return reduced_A
