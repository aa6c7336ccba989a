"""Members' thresholds as the configuration asks: objective, bags, shrinkage, own or shared rows.

Pure numpy on out-of-fold probabilities; knows no files and no weights of members.

Shape suffixes: A architectures, N chips, L labels, S strengths of shrinkage.
"""

import math

import numpy as np
import numpy.typing as npt

from service.contract.decision import strict_majority
from training.config.schema import DecisionConfig
from training.decision.fbeta import Probs, Truth, chip_scores
from training.decision.optimum import midway, neighbours, optimum

# Positives at which a tuned threshold and the prior weigh the same; other numbers are compared in
# benchmarks/training/tuning.py.
SHRINKAGE = {"samples": 6000.0, "macro": 1.0}
# From the weakest to no tuning at all.
STRENGTHS = (0.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 2000.0, 4000.0, 8000.0, 16000.0, math.inf)
MARGIN = np.float32(1e-4)  # what float16 moves a probability near the prior by; more costs F on unseen chips


def shrink(
    raw_L: npt.NDArray[np.floating], positives_L: npt.NDArray[np.integer], prior: float, strength: float
) -> npt.NDArray[np.float64]:
    """Return prior + (t - prior)·positives/(positives + λ) for every threshold t.

    λ is `strength`: 0 keeps t, infinity gives the prior.
    """
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
        low, high = neighbours(scores_N, cut)
        middle = midway(scores_N, cut)
        wide = high - low > 2 * MARGIN
        settled.append(np.clip(threshold, low + MARGIN, high - MARGIN) if wide else middle)
    return np.array(settled, np.float32)


def tune_thresholds(
    probs_ANL: Probs,
    targets_NL: Truth,
    folds_N: npt.NDArray[np.int64],
    decision: DecisionConfig,
    label_mask_AL: Truth | None = None,
) -> Probs:
    """Tune the thresholds of all members.

    Args:
        probs_ANL: float32 out-of-fold probabilities.
        targets_NL: the truth.
        folds_N: the fold that held each chip out; read only to choose the shrinkage.
        decision: objective, beta, thresholds, prior, shrinkage, bags, and with shared thresholds
            the rule.
        label_mask_AL: which member votes on which label; None: all on all. To a member's
            thresholds, the labels it is silent on are as the others have them; from its own
            probabilities they could only be set everywhere or nowhere, and a wrong label beside
            them would cost too little.

    Returns:
        float32 (A,L); with shared thresholds the rows are equal.

    Raises:
        ValueError: the shrinkage is to be chosen, and there is only one fold.
    """
    if decision.thresholds == "shared":
        scores_NL = ensemble_scores(probs_ANL, decision, label_mask_AL)
        return np.tile(tune_row(scores_NL, targets_NL, folds_N, decision), (len(probs_ANL), 1))
    if label_mask_AL is not None and not label_mask_AL.all():
        others_NL = ensemble_scores(probs_ANL, decision, label_mask_AL)
        probs_ANL = np.where(label_mask_AL[:, None], probs_ANL, others_NL)
    return np.stack([tune_row(probs_NL, targets_NL, folds_N, decision) for probs_NL in probs_ANL])


def ensemble_scores(probs_ANL: Probs, decision: DecisionConfig, label_mask_AL: Truth | None = None) -> Probs:
    """Return the one score per chip and label, (N,L), that a shared threshold is compared with.

    With one threshold for all, a majority reaches it exactly when the quorum-th highest
    probability does. So the vote is a single score against a single threshold, and its exact
    optimum is a member's: no pooling, no mean. A blend compares the mean. A label on which nobody
    has a say scores 0.
    """
    if label_mask_AL is None:
        label_mask_AL = np.ones((len(probs_ANL), probs_ANL.shape[2]), np.bool_)
    scores_NL = np.zeros(probs_ANL.shape[1:], np.float32)
    for label in np.flatnonzero(label_mask_AL.any(axis=0)):
        heard_AN = probs_ANL[label_mask_AL[:, label], :, label]
        if decision.rule == "vote":
            place = len(heard_AN) - strict_majority(len(heard_AN))
            scores_NL[:, label] = np.partition(heard_AN, place, axis=0)[place]
        else:
            scores_NL[:, label] = heard_AN.mean(axis=0)
    return scores_NL


def tune_row(
    scores_NL: Probs, targets_NL: Truth, folds_N: npt.NDArray[np.int64], decision: DecisionConfig
) -> Probs:
    """Find one threshold per label: the objective's optimum, or the bags' mean, shrunk.

    Each threshold ends clear of the observed scores, so rounding moves no decision.

    Args:
        scores_NL: float32 scores of chips that nothing behind them was trained on.
        targets_NL: the truth.
        folds_N: the fold that held each chip out; read only to choose the shrinkage.
        decision: objective, beta, prior (ascent's start, shrinkage's target), shrinkage, bags.

    Returns:
        float32 (L,).

    Raises:
        ValueError: the shrinkage is to be chosen, and there is only one fold.
    """
    strength = decision.shrinkage
    if strength is None:
        strength = choose_shrinkage(scores_NL, targets_NL, folds_N, decision)
    elif strength == "usual":
        strength = SHRINKAGE[decision.objective]
    raw_L = raw_thresholds(scores_NL, targets_NL, decision)
    return settle(scores_NL, shrink(raw_L, targets_NL.sum(axis=0), decision.prior, strength))


def raw_thresholds(scores_NL: Probs, targets_NL: Truth, decision: DecisionConfig) -> Probs:
    """Return the optimum, float32 (L,), or its mean over bootstrap samples of the chips.

    Source: Breiman 1996, "Bagging predictors". An optimum jumps between peaks of nearly equal
    height; the mean over samples does not. Bag k always draws with seed k.
    """

    def best(chips_N: npt.NDArray[np.int64] | slice) -> Probs:
        return optimum(
            scores_NL[chips_N],
            targets_NL[chips_N],
            objective=decision.objective,
            beta=decision.beta,
            start=decision.prior,
        )

    if not decision.bags:
        return best(slice(None))
    chips = len(scores_NL)
    rows = [best(np.random.default_rng(seed).integers(0, chips, chips)) for seed in range(decision.bags)]
    return np.asarray(np.mean(rows, axis=0, dtype=np.float64), np.float32)


def choose_shrinkage(
    scores_NL: Probs, targets_NL: Truth, folds_N: npt.NDArray[np.int64], decision: DecisionConfig
) -> float:
    """Return the strongest shrinkage within one standard error of the best on chips not tuned on.

    Every fold is decided by thresholds tuned on the others, once per strength. Errors are of the
    paired difference over chips. Infinity, the prior itself, is among the strengths: where
    tuning shows no clear gain, nothing is tuned.

    Source: the one-standard-error rule; Breiman et al. 1984, "Classification and Regression Trees".

    Raises:
        ValueError: there is only one fold.
    """
    folds = np.unique(folds_N)
    if len(folds) < 2:
        raise ValueError("choosing the shrinkage needs chips of at least two folds; set `shrinkage` instead")
    labels_SNL = np.zeros((len(STRENGTHS), *targets_NL.shape), np.bool_)
    for fold in folds:
        unseen_N = folds_N == fold
        raw_L = raw_thresholds(scores_NL[~unseen_N], targets_NL[~unseen_N], decision)
        positives_L = targets_NL[~unseen_N].sum(axis=0)
        for labels_NL, strength in zip(labels_SNL, STRENGTHS, strict=True):
            thresholds_L = shrink(raw_L, positives_L, decision.prior, strength)
            labels_NL[unseen_N] = scores_NL[unseen_N] >= thresholds_L.astype(np.float32)
    values_SN = np.array(
        [chip_scores(labels_NL, targets_NL, decision.objective, decision.beta) for labels_NL in labels_SNL]
    )
    behind_SN = values_SN[values_SN.mean(axis=1).argmax()] - values_SN
    error_S = behind_SN.std(axis=1) / math.sqrt(len(targets_NL))
    return STRENGTHS[int(np.flatnonzero(behind_SN.mean(axis=1) <= error_S).max())]
