"""Where a window is: in its scene's pixels, and on the ground."""

from typing import NamedTuple

from service.client.schemas import Geometry

Point = tuple[float, float]


class Place(NamedTuple):
    """A window of a scene.

    Attributes:
        scene: what the scene is called.
        column: of the first pixel; so for row.
        row: see above.
        width: in pixels of the scene; so for height.
        height: see above.
        corners: in the scene's own system: the upper left pixel's, then along the first row and
            round, however the grid is turned. Pixels, where the scene has no system.
        geometry: in degrees; None where the system has no way to EPSG:4326.
    """

    scene: str
    column: int
    row: int
    width: int
    height: int
    corners: tuple[Point, Point, Point, Point]
    geometry: Geometry | None
