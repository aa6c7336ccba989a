"""The rule that turns probabilities into label sets; shared by tuning and serving.

A label is set when at least `quorum` members reach their own threshold for it.
Knows arrays only: no labels' names, no graphs, no files.

Shape suffixes: M members, B chips, L labels.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class Decision(NamedTuple):
    """What the vote says about a batch."""

    labels_BL: npt.NDArray[np.bool_]  # the voted label sets
    votes_BL: npt.NDArray[np.intp]  # members in favour, 0..M


def strict_majority(members: int) -> int:
    """Return the smallest quorum that is more than half of `members` (15 → 8)."""
    return members // 2 + 1


def decide(
    probs_MBL: npt.NDArray[np.float32], thresholds_ML: npt.NDArray[np.float32], quorum: int
) -> Decision:
    """Let every member apply its own thresholds, then count votes.

    Args:
        probs_MBL: float32 probabilities in 0..1, members first.
        thresholds_ML: float32 thresholds; a probability equal to its threshold counts as reached.
        quorum: members needed to set a label, 1..M.
    """
    votes_BL = (probs_MBL >= thresholds_ML[:, None, :]).sum(axis=0)
    return Decision(votes_BL >= quorum, votes_BL)
