"""A GeoTIFF's georeference → the longitudes and latitudes of its four corners, and its resolution.

Reads a TIFF's tags and never its pixels. Knows coordinate systems by their EPSG code: what a
file defines in its own words is not understood, and then there are no corners.

Source: OGC GeoTIFF 1.1 (OGC 19-008r4).
"""

import functools
import io
import logging
import math
from collections.abc import Sequence
from typing import NamedTuple

import tifffile
from pyproj import CRS, Geod, Transformer

from service.contract.chips.tiff_directory import with_only

# Codes of TIFF tags, and of the keys inside the directory of keys.
_SCALE, _TIEPOINT, _TRANSFORMATION, _KEYS = 33550, 33922, 34264, 34735
_TAGS = (256, 257, _SCALE, _TIEPOINT, _TRANSFORMATION, _KEYS)  # and the image's width and height
_RASTER_TYPE, _GEOGRAPHIC, _PROJECTED = 1025, 2048, 3072
_PIXEL_IS_POINT = 2  # of the raster type: coordinates are those of a pixel's centre
_USER_DEFINED = 32767
_ROUNDED = 1e-6  # of a degree: so far beyond a pole, a corner is at it
_MOST_KEYS = 200  # there are a few dozen; a file may claim four billion
logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # it misses what a georeference does not need

_ELLIPSOID = Geod(ellps="WGS84")

Point = tuple[float, float]
Ring = list[Point]


def corners(data: bytes) -> Ring | None:
    """Return a file's four corners from the lower left, counterclockwise as its rows run.

    Longitudes begin in -180..180 and do not jump: a file across the antimeridian goes beyond 180.

    None for a file without a georeference by scale and tie point or by a transformation, in a
    system with an EPSG code; and for what spans half the globe or touches a pole, whose corners
    say nothing.
    """
    found = _placed(data)
    return found.ring if found else None


def resolution_m(data: bytes) -> float | None:
    """Return how wide a file's pixels are on the ground, in metres.

    Measured between the middles of its sides, so what a map stretches does not count; of pixels
    that are not square, it is the side of a square as large. None as in `corners`.
    """
    found = _placed(data)
    if found is None:
        return None
    ring = found.ring
    middles = [
        ((x0 + x1) / 2, (y0 + y1) / 2) for (x0, y0), (x1, y1) in zip(ring, ring[1:] + ring[:1], strict=True)
    ]
    lower, right, upper, left = middles
    along_m = _distance_m(left, right) / found.columns
    across_m = _distance_m(lower, upper) / found.rows
    return math.sqrt(along_m * across_m) or None


def _distance_m(one: Point, other: Point) -> float:
    return float(_ELLIPSOID.inv(*one, *other)[2])


class _Placed(NamedTuple):
    """A file's corners, and its size in pixels."""

    ring: Ring
    columns: int
    rows: int


def _placed(data: bytes) -> _Placed | None:
    if not data.startswith((b"II", b"MM")):
        return None
    try:
        with tifffile.TiffFile(io.BytesIO(with_only(data, _TAGS))) as file:
            page = file.pages.first
            columns, rows = page.imagewidth, page.imagelength
            corner_points = _corners(_Georeference.read(page.tags), columns, rows)
    except Exception:  # what a damaged or hostile file makes the parsers raise has no end
        return None
    ring = continuous(corner_points)
    return _Placed(ring, columns, rows) if ring else None


def continuous(ring: Ring) -> Ring | None:
    """Write a ring's longitudes so that none jumps by 360°, beginning in -180..180.

    None for what spans half the globe or touches a pole, whose corners say nothing.
    """
    if not all(math.isfinite(x) and abs(y) <= 90 + _ROUNDED for x, y in ring):
        return None
    near = [(ring[0][0] + (x - ring[0][0] + 180) % 360 - 180, max(-90.0, min(y, 90.0))) for x, y in ring]
    start, end = min(x for x, _ in near), max(x for x, _ in near)
    turns = math.floor((start + 180) / 360)
    return [(x - 360 * turns, y) for x, y in near] if end - start < 180 else None


class _Georeference(NamedTuple):
    """What a GeoTIFF's tags say, each read by itself.

    tifffile's own reading trusts the counts in the file: false ones cost memory and hours.
    """

    keys: dict[int, int]
    scale: Sequence[float]
    tiepoint: Sequence[float]
    transformation: Sequence[float]

    @classmethod
    def read(cls, tags: tifffile.TiffTags) -> "_Georeference":
        def values(code: int, most: int) -> Sequence[float]:
            tag = tags.get(code)
            return tag.value if tag is not None and 1 < tag.count <= most else ()

        directory = [int(value) for value in values(_KEYS, 4 + 4 * _MOST_KEYS)]
        entries = zip(*(directory[first::4] for first in (4, 5, 7)), strict=False)
        # Location 0: the value itself, no place in another tag.
        keys = {key: value for key, location, value in entries if location == 0}
        return cls(keys, values(_SCALE, 3), values(_TIEPOINT, 6), values(_TRANSFORMATION, 16))

    def place(self, column: float, row: float) -> Point:
        """Map a pixel's position to the file's coordinates; ValueError without a georeference."""
        if self.transformation:
            a, b, _, d, e, f, _, h = self.transformation[:8]
            return a * column + b * row + d, e * column + f * row + h
        at_column, at_row, _, x, y, _ = self.tiepoint
        x_scale, y_scale, _ = self.scale
        return x + (column - at_column) * x_scale, y - (row - at_row) * y_scale


def _corners(reference: _Georeference, columns: int, rows: int) -> Ring:
    keys = reference.keys
    transformer = _to_degrees(keys.get(_PROJECTED) or keys[_GEOGRAPHIC])
    shift = 0.5 if keys.get(_RASTER_TYPE) == _PIXEL_IS_POINT else 0.0
    pixels = [(0, rows), (columns, rows), (columns, 0), (0, 0)]
    return [transformer.transform(*reference.place(x - shift, y - shift)) for x, y in pixels]


@functools.lru_cache(maxsize=64)
def _to_degrees(epsg: int) -> Transformer:
    if epsg == _USER_DEFINED:
        raise ValueError("the coordinate system is the file's own")
    system = CRS.from_epsg(epsg).to_2d()
    if not (system.is_geographic or system.is_projected):
        raise ValueError(f"EPSG:{epsg} gives no place on a map")
    # Safe to share between threads since pyproj 3.1.
    return Transformer.from_crs(system, 4326, always_xy=True)
