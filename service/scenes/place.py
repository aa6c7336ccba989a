"""A window's place: which pixels of which scene it takes, and where these lie on the ground."""

from typing import NamedTuple

from service.client.schemas import Geometry


class Place(NamedTuple):
    """Where one window lies.

    `corners` go from the upper left along the first row and then round, so they follow rotated
    and south-up grids.
    """

    scene: str
    column: int  # scene pixels, as the next three
    row: int
    width: int
    height: int
    corners: tuple[tuple[float, float], ...]  # four, in the scene's own system
    geometry: Geometry | None  # EPSG:4326; None where the scene's system has no way there
