"""A vote that stops asking: members in turn, each only for the chips that it can still change.

A label is settled when its votes reach the quorum, or when even all members still to come would
not bring them there; a chip is done when all its labels are settled. The label sets are those of
the whole vote, always. Knows arrays only: who asks the members decides how.

Shape suffixes: M members, B chips, O open chips, L labels.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from service.contract.decision import Floats, Ints, Probs, Voter

# A member and the rows of the chips that it is asked about → its probabilities (O,L) for them.
Ask = Callable[[int, npt.NDArray[np.intp]], Probs]


class EarlyDecision(NamedTuple):
    """What a vote that stopped early says about a batch."""

    labels_BL: npt.NDArray[np.bool_]  # the label sets
    votes_BL: Ints  # weight in favour among the members that ran
    probabilities_BL: Floats  # weighted mean over the members that ran
    members_B: Ints  # how many ran


class EarlyVoter:
    """A plain vote, and in which order its members are asked."""

    def __init__(self, voter: Voter, order: Sequence[int]) -> None:
        """Take the whole vote, and its members' indices, each once."""
        self._voter, self._order = voter, order

    def decide(self, chips: int, ask: Ask) -> EarlyDecision:
        """Decide a batch of so many chips; members that can change nothing are not asked.

        A chip's members and its answer depend on that chip alone. Every label has a mean: until one
        of its voters has run, it cannot be settled.
        """
        thresholds_ML, weights_ML = self._voter.thresholds_ML, self._voter.weights_ML
        quorum_L = self._voter.quorum_L
        votes_BL, weight_BL = (np.zeros((chips, len(quorum_L)), np.int64) for _ in range(2))
        sums_BL, members_B = np.zeros(votes_BL.shape), np.zeros(chips, np.int64)
        left_L = weights_ML.sum(axis=0)  # of the members still to come
        for member in self._order:
            weight_L = weights_ML[member]
            open_BL = (votes_BL < quorum_L) & (votes_BL + left_L >= quorum_L)
            rows_O = np.flatnonzero(open_BL[:, weight_L > 0].any(axis=1))
            left_L = left_L - weight_L
            if not len(rows_O):
                continue
            probs_OL = ask(member, rows_O)
            votes_BL[rows_O] += (probs_OL >= thresholds_ML[member]) * weight_L
            sums_BL[rows_O] += probs_OL * weight_L
            weight_BL[rows_O] += weight_L
            members_B[rows_O] += 1
        return EarlyDecision(votes_BL >= quorum_L, votes_BL, sums_BL / weight_BL, members_B)
