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

_LEAST = 0.5 - 1e-9  # of the area; a shift by exactly half is rounded

Ints = npt.NDArray[np.int64]
Shapes = npt.NDArray[np.object_]


class Pairs(NamedTuple):
    """Rows that belong together, by their numbers."""

    before: Ints
    after: Ints
    shares: npt.NDArray[np.float64]  # of the area before that is covered after; 1 for chips

    def __len__(self) -> int:
        return len(self.before)


def match(before: Layer, after: Layer) -> Pairs:
    """Pair each row before with the one after that covers most of it, at least half.

    Grids may be shifted, and windows lie in other scenes. Rows without places are paired by name,
    and by their windows.

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
    rows, others = shapely.STRtree(after.geometries).query(before.geometries)
    areas = shapely.area(before.geometries[rows])
    # Boxes overlap at least as much as what is in them, so most neighbours need no intersection.
    overlaps = _box_overlaps(before.geometries[rows], after.geometries[others])
    near = (areas > 0) & (overlaps >= _LEAST * areas)
    rows, others, areas = rows[near], others[near], areas[near]
    shares = shapely.area(shapely.intersection(before.geometries[rows], after.geometries[others])) / areas
    order = np.lexsort((others, -shares, rows))  # of each row before, the largest share first
    rows, others, shares = rows[order], others[order], shares[order]
    best = np.flatnonzero(np.diff(rows, prepend=-1))
    best = best[shares[best] >= _LEAST]
    return Pairs(rows[best], others[best], shares[best])


def _box_overlaps(one: Shapes, other: Shapes) -> npt.NDArray[np.float64]:
    """Return the areas that bounding boxes have in common."""
    (west, south, east, north), (west2, south2, east2, north2) = (
        shapely.bounds(one).T,
        shapely.bounds(other).T,
    )
    across = np.minimum(east, east2) - np.maximum(west, west2)
    return np.asarray(across.clip(0) * (np.minimum(north, north2) - np.maximum(south, south2)).clip(0))


def _by_name(before: Layer, after: Layer) -> Pairs:
    named, others = (list(zip(layer.keys, layer.windows, strict=True)) for layer in (before, after))
    places = {key: number for number, key in reversed(list(enumerate(others)))}
    found = [(number, places[key]) for number, key in enumerate(named) if key in places]
    rows, theirs = np.array(found, np.int64).reshape(-1, 2).T
    return Pairs(rows, theirs, np.ones(len(rows)))
