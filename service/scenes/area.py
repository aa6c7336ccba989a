"""An area of interest → which pixels of a scene lie in it.

Source: RFC 7946 (GeoJSON).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from service.scenes.errors import LackingExtra, SceneError
from service.scenes.ground import Ground

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

_SPLIT = 256  # parts of a side of the area's box: straight in degrees is bent in most systems


def read_area(file: Path) -> BaseGeometry:
    """Read a GeoJSON file: a geometry, a feature or a collection of them, in EPSG:4326.

    Raises:
        SceneError: it is none.
    """
    shapely = _shapely()
    try:
        known = json.loads(file.read_text())
        features = known["features"] if known["type"] == "FeatureCollection" else [known]
        parts = [feature.get("geometry", feature) for feature in features]
        area = shapely.union_all([shapely.from_geojson(json.dumps(part)) for part in parts])
    except (OSError, ValueError, TypeError, KeyError, AttributeError, shapely.errors.ShapelyError) as error:
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
    if south > north:
        raise SceneError(f"{south} to {north} is no way north; give WEST,SOUTH,EAST,NORTH in EPSG:4326")
    if west > east:
        parts = [shapely.box(west, south, 180, north), shapely.box(-180, south, east, north)]
        return _checked(shapely.union_all(parts), "the box")
    return _checked(shapely.box(west, south, east, north), "the box")


def in_pixels(area: BaseGeometry, ground: Ground) -> BaseGeometry:
    """Return an area in a scene's pixels.

    Raises:
        SceneError: the scene does not say where it lies.
    """
    if ground.to_degrees is None:
        raise SceneError("a scene does not say where on the Earth it lies, so no area of it can be chosen")
    shapely = _shapely()
    west, south, east, north = area.bounds
    fine = shapely.segmentize(area, max(east - west, north - south) / _SPLIT or 1)
    return shapely.make_valid(shapely.transform(fine, ground.to_pixels))


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
