"""A scene's grid → places on the ground: corners of windows, their outlines, a pixel's size.

Knows coordinate systems by their WKT and no file.

Source: Karney 2013, Algorithms for geodesics (pyproj's `Geod`), for the size of a pixel.
"""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt
from affine import Affine
from pyproj import CRS, Geod, Transformer
from pyproj.exceptions import ProjError

from service.client.schemas import Geometry
from service.scenes.outline import outline
from service.scenes.place import Place, Point

_EARTH = Geod(ellps="WGS84")
_SPAN_PX = 64  # over which a pixel's size is measured: short enough to be local, long enough to be exact
_NEARLY = 1 - 1e-12  # or PROJ could take both ends of a turn for one


class Ground:
    """Where a scene's pixels lie."""

    def __init__(self, wkt: str | None, transform: Affine) -> None:
        """Take a coordinate system, None for none, and how pixels' corners lie in it."""
        self._wkt, self._transform = wkt, transform

    @cached_property
    def to_degrees(self) -> Transformer | None:
        """The way to longitudes and latitudes; None where there is none, as from Mars."""
        if self._wkt is None:
            return None
        try:
            system = CRS.from_wkt(self._wkt).to_2d()
            if not (system.is_geographic or system.is_projected):
                return None
            return Transformer.from_crs(system, 4326, always_xy=True)
        except ProjError:
            return None

    def place(self, scene: str, column: int, row: int, width: int, height: int) -> Place:
        """Return a window's place."""
        right, low = column + width, row + height
        a, b, c, d = map(self._at, (column, right, right, column), (row, row, low, low))
        return Place(scene, column, row, width, height, (a, b, c, d), self.outline((a, b, c, d)))

    def outline(self, corners: Sequence[Point]) -> Geometry | None:
        """Return the area between corners in the scene's own system, in degrees."""
        degrees = self._degrees(corners)
        return outline([(float(x), float(y)) for x, y in degrees]) if degrees is not None else None

    def to_pixels(self, degrees: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the columns and rows (N,2) of longitudes and latitudes (N,2)."""
        assert self.to_degrees is not None
        x, y = self.to_degrees.transform(degrees[:, 0], degrees[:, 1], direction="INVERSE")
        a, b, c, d, e, f = (~self._transform)[:6]
        return np.stack([a * x + b * y + c, d * x + e * y + f], axis=1)

    def turn(self) -> npt.NDArray[np.float64]:
        """Return how many columns and rows lead once around the Earth; none where nothing does."""
        start, end = self.to_pixels(np.array([[-180, 0], [180, 0]]) * _NEARLY)
        return end - start if np.isfinite(end - start).all() else np.zeros(2)

    def pixel_m(self, width: int, height: int, down: float = 0.5) -> tuple[float, float] | None:
        """Return how many metres of the ground a step along a row and down a column are.

        Measured on the ellipsoid, in the scene's middle column and, from 0 at its top to 1, so far
        down: neither a degree nor a unit of Web Mercator is the same length everywhere.
        """
        half = min(_SPAN_PX, width, height) / 2
        column, row = width / 2, half + (height - 2 * half) * down
        ends = [(column - half, row), (column + half, row), (column, row - half), (column, row + half)]
        degrees = self._degrees([self._at(*end) for end in ends])
        if degrees is None:
            return None
        left, right, top, low = degrees
        along_m = _EARTH.inv(*left, *right)[2] / (2 * half)
        down_m = _EARTH.inv(*top, *low)[2] / (2 * half)
        return (along_m, down_m) if min(along_m, down_m) > 0 else None

    def _at(self, column: float, row: float) -> Point:
        a, b, c, d, e, f = self._transform[:6]
        return a * column + b * row + c, d * column + e * row + f

    def _degrees(self, points: Sequence[Point]) -> npt.NDArray[np.float64] | None:
        """Transform points to longitudes and latitudes (N,2)."""
        if self.to_degrees is None:
            return None
        x, y = self.to_degrees.transform([x for x, _ in points], [y for _, y in points])
        found = np.stack([x, y], axis=1)
        return found if np.isfinite(found).all() else None
