"""An area of interest → which pixels of a scene lie in it.

Source: RFC 7946 (GeoJSON).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from service.scenes.errors import LackingExtra, SceneError
from service.scenes.ground import Ground

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

_SPLIT = 256  # parts of a side of the area's box: straight in degrees is bent in most systems
_UNREADABLE = (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError)


def read_area(file: Path) -> BaseGeometry:
    """Read a GeoJSON file: a geometry, a feature or a collection of them, in EPSG:4326.

    Raises:
        SceneError: it is none.
    """
    shapely = _shapely()
    try:
        known = json.loads(file.read_text("utf-8-sig"))
        features = known["features"] if known["type"] == "FeatureCollection" else [known]
        parts = [feature.get("geometry", feature) for feature in features]
        shapes = [shapely.from_geojson(json.dumps(part)) for part in parts if part is not None]
        area = shapely.union_all(shapely.make_valid(shapes))
    except (*_UNREADABLE, shapely.errors.ShapelyError) as error:
        raise SceneError(
            f"{file} is no GeoJSON that can be read ({error}); give a polygon in EPSG:4326"
        ) from error
    return _checked(area, str(file))


def box(west: float, south: float, east: float, north: float) -> BaseGeometry:
    """Return the area between degrees; west of `east`, or beyond the antimeridian.

    Raises:
        SceneError: these are none.
    """
    shapely = _shapely()
    if not np.isfinite([west, south, east, north]).all() or south > north:
        raise SceneError(
            f"{west},{south},{east},{north} is no box; give WEST,SOUTH,EAST,NORTH in EPSG:4326, south first"
        )
    if west > east:
        parts = [shapely.box(west, south, 180, north), shapely.box(-180, south, east, north)]
        return _checked(shapely.union_all(parts), "the box")
    return _checked(shapely.box(west, south, east, north), "the box")


def in_pixels(area: BaseGeometry, ground: Ground, width: int, height: int) -> BaseGeometry:
    """Return the part of an area that is near a scene, in the scene's pixels.

    Args:
        area: in degrees.
        ground: the scene's.
        width: of the scene in pixels; so for height.
        height: see above.

    Raises:
        SceneError: the scene does not say where it lies, or its system knows no place as far away.
    """
    if ground.to_degrees is None:
        raise SceneError("a scene does not say where on the Earth it lies, so no area of it can be chosen")
    shapely = _shapely()
    if outline := ground.place("", 0, 0, width, height).geometry:
        # What is far from a scene may have no place in its system, or a false one.
        scene = shapely.from_geojson(json.dumps(outline))
        west, south, east, north = shapely.bounds(shapely.get_parts(scene)).T
        area = area.intersection(scene.buffer(float(np.maximum(east - west, north - south).max())))
    if area.is_empty:
        return area
    west, south, east, north = area.bounds
    fine = shapely.segmentize(area, max(east - west, north - south) / _SPLIT or 1)
    pixels = shapely.transform(fine, ground.to_pixels)
    if not np.isfinite(shapely.get_coordinates(pixels)).all():
        raise SceneError("the area reaches beyond what the scene's system can show; give a smaller one")
    turn = ground.turn()
    turns = [shapely.transform(pixels, lambda at, times=times: at + times * turn) for times in (-1, 0, 1)]
    return shapely.union_all(shapely.make_valid(turns))


def _checked(area: Any, said: str) -> Any:  # noqa: ANN401
    west, south, east, north = area.bounds
    if not (area.area > 0 and -180 <= west <= east <= 180 and -90 <= south <= north <= 90):
        raise SceneError(f"{said} is no area in degrees (EPSG:4326): west, south, east and north of it")
    return area


def _shapely() -> Any:  # noqa: ANN401
    try:
        import shapely
    except ImportError as error:
        raise LackingExtra("areas need shapely: pip install 'chipvote[scenes]'") from error
    return shapely
