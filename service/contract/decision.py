"""The rules that turn probabilities into label sets; shared by tuning and serving.

    Voter         members with enough weight reach their own thresholds
    Blender       a linear blend of all members' probabilities reaches the label's threshold
    Maximizer     the label set with the highest expected F-beta is set
    Constrained   one of these, and then what the labels' truth never does is undone

A chip's decision depends on that chip alone, bit for bit, whatever its batch.
Knows arrays only: no labels' names, no graphs, no files.

Shape suffixes: M members, B chips, L labels, G labels of a group, A alone labels.
"""

from collections.abc import Sequence
from functools import reduce
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from service.contract.expected_f import best_sets

Probs = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Weight = TypeVar("Weight", int, Ints)

# Probabilities and coefficients of a blend lie on these grids and a label's coefficients add up to
# at most MAX_BLEND: then every product and sum is a multiple of 2**-44 below 2**8, which float64
# holds exactly. No order of summation, so no batch size and no BLAS, can change a score.
PROBABILITY_GRID, COEFFICIENT_GRID, MAX_BLEND = 2.0**-20, 2.0**-24, 2.0**7


class Decision(NamedTuple):
    """What a rule says about a batch."""

    labels_BL: npt.NDArray[np.bool_]  # the label sets
    votes_BL: Ints  # weight of the members in favour; 0 where the rule is no vote
    probabilities_BL: Floats  # what the rule believes of each label, 0..1


class Decider(Protocol):
    """A rule, ready to decide."""

    def decide(self, probs_MBL: Probs) -> Decision:
        """Decide a batch from the members' probabilities in 0..1, members first."""


def strict_majority(weight: Weight) -> Weight:
    """Return the smallest quorum that is more than half of the total weight (15 → 8)."""
    return weight // 2 + 1


class Voter:
    """Every member applies its own thresholds, then the weights of those in favour are added."""

    def __init__(self, thresholds_ML: Probs, weights_ML: Ints, quorum_L: Ints) -> None:
        """Take the rule's numbers.

        Args:
            thresholds_ML: float32; a probability equal to its threshold counts as reached.
            weights_ML: 0 where a member has no say; each label's total is at least 1.
            quorum_L: weight that sets a label.
        """
        self.thresholds_ML, self.weights_ML, self.quorum_L = thresholds_ML, weights_ML, quorum_L
        self._shares_M1L = _shares(weights_ML)[:, None]

    def decide(self, probs_MBL: Probs) -> Decision:
        """Decide a batch; the probability of a label is its voters' weighted mean."""
        in_favour_MBL = probs_MBL >= self.thresholds_ML[:, None]
        votes_BL = (in_favour_MBL * self.weights_ML[:, None]).sum(axis=0)
        return Decision(votes_BL >= self.quorum_L, votes_BL, _mean(probs_MBL, self._shares_M1L))


class Blender:
    """Every label's score is a weighted sum over all members and all labels, clipped to 0..1."""

    def __init__(self, coefficients_MLL: Floats, intercepts_L: Floats, thresholds_L: Probs) -> None:
        """Take the rule's numbers; `coefficients_MLL[m, k, l]` leads from label k to l's score."""
        labels = len(intercepts_L)
        self._coefficients_JL = to_grid(coefficients_MLL, COEFFICIENT_GRID).reshape(-1, labels)
        self._intercepts_L = to_grid(intercepts_L, COEFFICIENT_GRID)
        self._thresholds_L = thresholds_L

    def decide(self, probs_MBL: Probs) -> Decision:
        """Decide a batch; the probability of a label is its score."""
        members, chips, labels = probs_MBL.shape
        probs_BJ = to_grid(probs_MBL, PROBABILITY_GRID).transpose(1, 0, 2).reshape(chips, members * labels)
        scores_BL = (probs_BJ @ self._coefficients_JL + self._intercepts_L).clip(0, 1)
        return Decision(scores_BL >= self._thresholds_L, np.zeros(scores_BL.shape, np.int64), scores_BL)


class Maximizer:
    """Mean probabilities are calibrated label by label, then the best set is searched."""

    def __init__(self, weights_ML: Ints, knots: Sequence[tuple[Floats, Floats]], beta: float) -> None:
        """Take the rule's numbers.

        Args:
            weights_ML: members' weights in the mean; 0 where a member has no say.
            knots: per label, mean probabilities (rising) and their calibrated ones.
            beta: weight of recall.
        """
        self._shares_M1L, self._knots, self._beta = _shares(weights_ML)[:, None], knots, beta

    def decide(self, probs_MBL: Probs) -> Decision:
        """Decide a batch; the probability of a label is the calibrated one."""
        mean_BL = _mean(probs_MBL, self._shares_M1L)
        columns = [np.interp(mean_B, *knots) for mean_B, knots in zip(mean_BL.T, self._knots, strict=True)]
        calibrated_BL = np.stack(columns, axis=1)
        labels_BL = best_sets(calibrated_BL, self._beta)
        return Decision(labels_BL, np.zeros(labels_BL.shape, np.int64), calibrated_BL)


class Constrained:
    """A rule whose label sets are then made to keep to what was always true."""

    def __init__(
        self, decider: Decider, exclusive: Sequence[Sequence[int]], alone: Sequence[int], labels: int
    ) -> None:
        """Take a rule and what constrains it.

        Args:
            decider: the rule.
            exclusive: groups of columns; exactly one of each is set, the most probable.
            alone: columns beside which nothing is set but their own group's label.
            labels: how many columns there are.
        """
        self._decider, self._groups = decider, [np.array(group) for group in exclusive]
        self._alone_A, self._beside_AL = np.array(alone, np.intp), np.zeros((len(alone), labels), np.bool_)
        for row, column in enumerate(alone):
            own = next((group for group in exclusive if column in group), [column])
            self._beside_AL[row, list(own)] = True

    def decide(self, probs_MBL: Probs) -> Decision:
        """Decide a batch; votes and probabilities stay as the rule gave them."""
        decision = self._decider.decide(probs_MBL)
        labels_BL, probs_BL = decision.labels_BL.copy(), decision.probabilities_BL
        for group_G in self._groups:
            labels_BL[:, group_G] = False
            labels_BL[np.arange(len(labels_BL)), group_G[probs_BL[:, group_G].argmax(axis=1)]] = True
        if len(self._alone_A):
            set_BA = labels_BL[:, self._alone_A]
            first_B = np.where(set_BA, probs_BL[:, self._alone_A], -1).argmax(axis=1)
            free_B1 = ~set_BA.any(axis=1, keepdims=True)
            labels_BL &= self._beside_AL[first_B] | free_B1
        return decision._replace(labels_BL=labels_BL)


def to_grid(array: npt.NDArray[np.floating], grid: float) -> Floats:
    """Round to multiples of `grid`, a power of two; float64."""
    return np.asarray(np.rint(array.astype(np.float64) / grid) * grid)


def _shares(weights_ML: Ints) -> Floats:
    return np.asarray(weights_ML / weights_ML.sum(axis=0))


def _mean(probs_MBL: Probs, shares_M1L: Floats) -> Floats:
    # One member after the other: `sum` adds a lone chip's lone label pairwise and rounds otherwise.
    return reduce(np.add, probs_MBL * shares_M1L)
