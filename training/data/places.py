"""GeoTIFFs → which of them lie in one block on the ground, or over one another.

Knows files and where they lie; no pixels, no labels.

Shape suffixes: N files, P pairs.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.spatial import KDTree

from service.contract.chips.band_files import ChipSource, first_file
from service.contract.chips.georeference import Ring, corners
from training.run.progress import in_threads

EARTH_KM = 6371.0
DEGREE_KM = EARTH_KM * math.pi / 180
# Of the smaller one's area. Less is what is left between neighbours whose edges were rounded.
OVERLAPPING = 0.02

Pairs = npt.NDArray[np.int64]


def read_places(files: Sequence[ChipSource]) -> list[Ring | None]:
    """Return each chip's corners in longitude and latitude, None where its file does not say.

    Of a chip of one file per band, those of the first.
    """
    return list(in_threads(_corners, files, "read places"))


def pairs_of_place(places: Sequence[Ring | None], block_km: float) -> Pairs:
    """Return pairs (P,2) of files of one place; chained pairs stand for all others among them.

    Args:
        places: from `read_places`.
        block_km: side of the blocks; files whose middles lie in one are of one place. With 0, only
            files that lie over one another are.
    """
    placed = [row for row, ring in enumerate(places) if ring]
    rings = [ring for ring in places if ring]
    if not placed:
        return np.empty((0, 2), np.int64)
    pairs = _over_one_another(rings)
    if block_km:
        first_of: dict[tuple[int, int], int] = {}
        pairs += [(first_of.setdefault(_block(ring, block_km), row), row) for row, ring in enumerate(rings)]
    return np.array(placed)[np.array(pairs, np.int64).reshape(-1, 2)]


def _corners(chip: ChipSource) -> Ring | None:
    file = first_file(chip)
    try:
        return corners(file.read_bytes()) if file.suffix.lower() in (".tif", ".tiff") else None
    except OSError:  # whoever wanted its pixels has said so
        return None


def _middle(ring: Ring) -> tuple[float, float]:
    longitude, latitude = np.mean(ring, axis=0)
    return float(longitude), float(latitude)


def _block(ring: Ring, block_km: float) -> tuple[int, int]:
    """Return row and column of the block: rows from the equator, each cut into columns anew."""
    longitude, latitude = _middle(ring)
    row = math.floor(latitude * DEGREE_KM / block_km)
    shrink = math.cos(math.radians((row + 0.5) * block_km / DEGREE_KM))
    return row, math.floor(((longitude + 180) % 360) * DEGREE_KM * max(shrink, 0) / block_km)


def _over_one_another(rings: Sequence[Ring]) -> list[tuple[int, int]]:
    middles = np.radians([_middle(ring) for ring in rings])
    longitude_N, latitude_N = middles.T
    points_N3 = EARTH_KM * np.stack(
        [
            np.cos(latitude_N) * np.cos(longitude_N),
            np.cos(latitude_N) * np.sin(longitude_N),
            np.sin(latitude_N),
        ],
        axis=1,
    )
    widest_km = max(2 * max(math.dist(*edge) for edge in _edges(_flat(ring, ring))) for ring in rings)
    near_P2 = KDTree(points_N3).query_pairs(widest_km, output_type="ndarray")
    return [(int(one), int(other)) for one, other in near_P2 if _overlap(rings[one], rings[other])]


def _edges(ring: Ring) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    return list(zip(ring, ring[1:] + ring[:1], strict=True))


def _flat(ring: Ring, around: Ring) -> Ring:
    """Return kilometres from the middle of a ring nearby."""
    longitude, latitude = _middle(around)
    shrink = math.cos(math.radians(latitude))
    return [
        (((x - longitude + 180) % 360 - 180) * DEGREE_KM * shrink, (y - latitude) * DEGREE_KM)
        for x, y in ring
    ]


def _overlap(one: Ring, other: Ring) -> bool:
    first, second = (_turned(_flat(ring, one)) for ring in (one, other))
    smaller = min(_area(first), _area(second))
    return smaller > 0 and _area(_clipped(first, second)) >= OVERLAPPING * smaller


def _area(ring: Ring) -> float:
    """Return a ring's area, negative if it runs clockwise."""
    return sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in _edges(ring)) / 2 if ring else 0.0


def _turned(ring: Ring) -> Ring:
    return ring if _area(ring) >= 0 else ring[::-1]


def _clipped(ring: Ring, by: Ring) -> Ring:
    """Return what two convex rings share (Sutherland and Hodgman 1974)."""
    for (ax, ay), (bx, by_) in _edges(by):
        kept: Ring = []
        for (x0, y0), (x1, y1) in _edges(ring):
            here = (bx - ax) * (y0 - ay) - (by_ - ay) * (x0 - ax)
            there = (bx - ax) * (y1 - ay) - (by_ - ay) * (x1 - ax)
            if here >= 0:
                kept.append((x0, y0))
            if here * there < 0:
                share = here / (here - there)
                kept.append((x0 + share * (x1 - x0), y0 + share * (y1 - y0)))
        ring = kept
    return ring
