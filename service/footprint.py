"""A GeoTIFF's georeference → its footprint on the ground, as a GeoJSON geometry.

Reads a TIFF's tags and never its pixels. Knows coordinate systems by their EPSG code: what a
file defines in its own words is not understood, and then there is no footprint.

Source: OGC GeoTIFF 1.1 (OGC 19-008r4); RFC 7946 for ring order and the antimeridian.
"""

import functools
import io
import math
from collections.abc import Mapping
from typing import Any

import tifffile
from pyproj import Transformer

from service.schemas import Geometry

_PIXEL_IS_POINT = 2  # of GTRasterTypeGeoKey: coordinates are those of a pixel's centre
_USER_DEFINED = 32767
_DECIMALS = 7  # of a degree: a centimetre

Point = tuple[float, float]
Ring = list[Point]


def footprint(data: bytes) -> Geometry | None:
    """Return where a file's four corners lie; None for a file that does not say so by an EPSG code."""
    if not data.startswith((b"II", b"MM")):
        return None
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            page = file.pages.first
            ring = _corners(page.geotiff_tags or {}, page.imagewidth, page.imagelength)
    except Exception:  # what a damaged or hostile file makes the parsers raise has no end
        return None
    if not all(math.isfinite(degrees) for point in ring for degrees in point):
        return None
    rings = [_closed(part) for part in _cut_at_antimeridian(ring)]
    if len(rings) == 1:
        return Geometry(type="Polygon", coordinates=rings)
    return Geometry(type="MultiPolygon", coordinates=[[part] for part in rings])


def _corners(tags: Mapping[str, Any], columns: int, rows: int) -> Ring:
    transformer = _to_degrees(_epsg(tags))
    shift = 0.5 if tags.get("GTRasterTypeGeoKey") == _PIXEL_IS_POINT else 0.0
    pixels = [(0, rows), (columns, rows), (columns, 0), (0, 0)]
    return [transformer.transform(*_place(tags, x - shift, y - shift)) for x, y in pixels]


def _place(tags: Mapping[str, Any], column: float, row: float) -> Point:
    """Map a pixel's position to the file's own coordinates; KeyError or ValueError without a georeference."""
    if "ModelTransformation" in tags:
        (a, b, _, d), (e, f, _, h) = tags["ModelTransformation"][:2]
        return a * column + b * row + d, e * column + f * row + h
    at_column, at_row, _, x, y, _ = tags["ModelTiepoint"]
    x_scale, y_scale, _ = tags["ModelPixelScale"]
    return x + (column - at_column) * x_scale, y - (row - at_row) * y_scale


def _epsg(tags: Mapping[str, Any]) -> int:
    code = tags.get("ProjectedCSTypeGeoKey") or tags["GeographicTypeGeoKey"]
    if code == _USER_DEFINED:
        raise ValueError("the coordinate system is the file's own")
    return int(code)


@functools.lru_cache(maxsize=64)
def _to_degrees(epsg: int) -> Transformer:
    # Safe to share between threads since pyproj 3.1.
    return Transformer.from_crs(epsg, 4326, always_xy=True)


def _cut_at_antimeridian(ring: Ring) -> list[Ring]:
    longitudes = [x for x, _ in ring]
    if max(longitudes) - min(longitudes) <= 180:
        return [ring]
    whole = [(x % 360, y) for x, y in ring]
    west = _part(whole, lambda x: 180 - x)
    east = [(x - 360, y) for x, y in _part(whole, lambda x: x - 180)]
    return [west, east]


def _part(ring: Ring, inside: Any) -> Ring:  # noqa: ANN401
    """Cut off what lies where `inside` is negative (Sutherland and Hodgman 1974, one edge)."""
    kept: Ring = []
    for (x0, y0), (x1, y1) in zip(ring, ring[1:] + ring[:1], strict=True):
        here, there = inside(x0), inside(x1)
        if here >= 0:
            kept.append((x0, y0))
        if here * there < 0:
            share = here / (here - there)
            kept.append((x0 + share * (x1 - x0), y0 + share * (y1 - y0)))
    return kept


def _closed(ring: Ring) -> Ring:
    """Round a ring, turn it counterclockwise, and end it where it began."""
    twice_the_area = sum(
        x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in zip(ring, ring[1:] + ring[:1], strict=True)
    )
    turned = ring if twice_the_area >= 0 else ring[::-1]
    rounded = [(round(x, _DECIMALS), round(y, _DECIMALS)) for x, y in turned]
    return [*rounded, rounded[0]]
