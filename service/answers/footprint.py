"""A GeoTIFF's corners → its footprint on the ground, as a GeoJSON geometry."""

from service.client.schemas import Geometry
from service.contract.chips.georeference import corners
from service.scenes.outline import outline


def footprint(data: bytes) -> Geometry | None:
    """Return where a file's four corners lie, None where it does not say (see `corners`)."""
    ring = corners(data)
    return outline(ring) if ring else None
