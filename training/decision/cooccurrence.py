"""What the labels' truth never does: labels that exclude each other, and labels that stand alone.

A rule counts as found when the truth breaks it at most once in a thousand rows, though labels
that knew nothing of each other would have broken it `SUPPORT` times or more. Labels' names
play no part.

Label sets that keep the rules are consistent, but no better by F2, which rewards setting two
labels of a group when in doubt: on 6,000 real held-out Planet chips, exactly one atmospheric
label and nothing beside `cloudy` costs 0.007 to 0.010 of sample F2, whatever the rule before.

Shape suffixes: N chips, L labels.
"""

import numpy as np
import numpy.typing as npt

from service.contract.rules import Cooccurrence

TOLERANCE = 1e-3  # share of the rows a rule is about that may break it
SUPPORT = 10.0  # breaks expected of independent labels; none at all would have a chance of exp(-10)

Truth = npt.NDArray[np.bool_]


def find_cooccurrence(targets_NL: Truth) -> Cooccurrence:
    """Return the groups of which a chip has exactly one label, and the labels that stand alone."""
    groups = _exclusive_groups(targets_NL)
    alone = [
        label
        for label in range(targets_NL.shape[1])
        if _stands_alone(targets_NL, label, next((group for group in groups if label in group), [label]))
    ]
    return Cooccurrence(exclusive=tuple(map(tuple, groups)), alone=tuple(alone))


def _exclusive_groups(targets_NL: Truth) -> list[list[int]]:
    """Return disjoint groups: maximal sets of labels that never meet and leave no chip out."""
    counts_LL = targets_NL.T.astype(np.float64) @ targets_NL
    positives_L, chips = np.diag(counts_LL), len(targets_NL)
    apart_LL = (counts_LL <= TOLERANCE * chips) & (np.outer(positives_L, positives_L) >= SUPPORT * chips)
    np.fill_diagonal(apart_LL, False)
    neighbours = [set(np.flatnonzero(row).tolist()) for row in apart_LL]
    found: list[list[int]] = []
    for group in _maximal_cliques(neighbours, [], set(range(len(neighbours))), set()):
        wrong = int((targets_NL[:, group].sum(axis=1) != 1).sum())
        taken = {label for other in found for label in other}
        if len(group) > 1 and wrong <= TOLERANCE * chips and not taken & set(group):
            found.append(sorted(group))
    return found


def _maximal_cliques(
    neighbours: list[set[int]], group: list[int], open_to: set[int], closed: set[int]
) -> list[list[int]]:
    """List the largest groups of mutual neighbours (Bron and Kerbosch 1973, with a pivot)."""
    if not open_to:
        return [] if closed else [group]
    pivot = max(sorted(open_to | closed), key=lambda label: len(neighbours[label] & open_to))
    found = []
    for label in sorted(open_to - neighbours[pivot]):
        near = neighbours[label]
        found += _maximal_cliques(neighbours, [*group, label], open_to & near, closed & near)
        open_to, closed = open_to - {label}, closed | {label}
    return found


def _stands_alone(targets_NL: Truth, label: int, own: list[int]) -> bool:
    """Tell whether nothing outside the label's own group is ever set beside it."""
    others_NK = np.delete(targets_NL, own, axis=1)
    rows = int(targets_NL[:, label].sum())
    company = int(others_NK[targets_NL[:, label]].any(axis=1).sum())
    expected = rows * (1 - (1 - others_NK.mean(axis=0)).prod())
    return bool(company <= TOLERANCE * rows and expected >= SUPPORT)
