"""Corners on the ground → a footprint, as a GeoJSON geometry. Needs no extra.

Source: RFC 7946 for ring order and the antimeridian.
"""

from collections.abc import Callable

from service.client.schemas import Geometry
from service.contract.chips.georeference import Ring, continuous

_DECIMALS = 7  # of a degree: a centimetre


def outline(ring: Ring) -> Geometry | None:
    """Return the area inside a ring of longitudes and latitudes, cut at the antimeridian.

    None for what `continuous` refuses, and for what is too thin to have an area.
    """
    whole = continuous(ring)
    if whole is None:
        return None
    # Where rounding put a corner beyond the antimeridian, what lies there has no area.
    rings = [part for part in map(_closed, _cut_at_antimeridian(whole)) if len(set(part)) >= 3]
    if not rings:
        return None
    if len(rings) == 1:
        return Geometry(type="Polygon", coordinates=rings)
    return Geometry(type="MultiPolygon", coordinates=[[part] for part in rings])


def _cut_at_antimeridian(ring: Ring) -> list[Ring]:
    if max(x for x, _ in ring) <= 180:
        return [ring]
    east = [(x - 360, y) for x, y in _part(ring, lambda x: x - 180)]
    return [_part(ring, lambda x: 180 - x), east]


def _part(ring: Ring, inside: Callable[[float], float]) -> Ring:
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
