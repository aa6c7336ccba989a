"""Two layers → which rows of them are about the same ground, or the same chip.

Shares of area are taken in degrees: over one window a degree's length hardly changes, so a share
is what it would be in metres.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import shapely

from service.answers.layers.errors import LayerError
from service.offline.changes.reading import Layer

LEAST_SHARE = 0.5

Ints = npt.NDArray[np.int64]


class Pairs(NamedTuple):
    """Rows that belong together, by their numbers."""

    before: Ints
    after: Ints
    shares: npt.NDArray[np.float64]  # of the area before that is covered after; 1 for chips

    def __len__(self) -> int:
        return len(self.before)


def match(before: Layer, after: Layer) -> Pairs:
    """Pair each row before with the one after that covers most of it, at least half.

    Grids may be shifted, and windows lie in other scenes. Rows without places are paired by name.

    Raises:
        LayerError: nothing belongs together, or only one of the two has places.
    """
    if before.placed != after.placed:
        placed, other = (before, after) if before.placed else (after, before)
        raise LayerError(f"{placed.name} has places and {other.name} has none; compare two of a kind")
    pairs = _by_place(before, after) if before.placed else _by_name(before, after)
    if not len(pairs):
        what = (
            "no place of the one is covered by half in the other" if before.placed else "no name is in both"
        )
        raise LayerError(f"{before.name} and {after.name} have nothing in common: {what}")
    return pairs


def _by_place(before: Layer, after: Layer) -> Pairs:
    tree = shapely.STRtree(after.geometries)
    rows, others = tree.query(before.geometries, predicate="intersects")
    ground, cover = before.geometries[rows], after.geometries[others]
    shares = shapely.area(shapely.intersection(ground, cover)) / shapely.area(ground)
    order = np.lexsort((others, -shares, rows))  # of each row before, the largest share first
    rows, others, shares = rows[order], others[order], shares[order]
    best = np.flatnonzero(np.diff(rows, prepend=-1))
    best = best[shares[best] >= LEAST_SHARE - 1e-9]  # a shift by exactly half, rounded
    return Pairs(rows[best], others[best], shares[best])


def _by_name(before: Layer, after: Layer) -> Pairs:
    places = {key: number for number, key in reversed(list(enumerate(after.keys)))}
    found = [(number, places[key]) for number, key in enumerate(before.keys) if key in places]
    rows, others = np.array(found, np.int64).reshape(-1, 2).T
    return Pairs(rows, others, np.ones(len(rows)))
