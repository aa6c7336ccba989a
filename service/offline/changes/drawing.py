"""Places by what changed there → a map in SVG, north up, that needs no other map.

Shape suffixes: N places, C corners of their rings.
"""

import math
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
import numpy.typing as npt
import shapely

from service.offline.changes.differences import Kind
from service.offline.changes.look import LOOKS

_SIDE = 1000.0  # of the map, in its own units
_METRES = 111_320  # of a degree of latitude


def drawing(
    shapes_N: npt.NDArray[np.object_], kinds_N: Sequence[Kind], named: Mapping[int, str], title: str
) -> str:
    """Draw places, on a grid of latitudes and longitudes that is true to scale at their middle.

    Args:
        shapes_N: in degrees; None where a place has none.
        kinds_N: what happened there.
        named: texts of the places, by number, that are drawn one by one, as `#place-NUMBER`; the
            first lies on top.
        title: what the map shows.
    """
    paths, units, (width, height) = _paths(shapes_N)
    together: dict[Kind, list[str]] = {kind: [] for kind in reversed(Kind)}  # what changed lies on top
    for number, path in paths.items():
        if number not in named:
            together[kinds_N[number]].append(path)
    drawn = [
        f'<path fill="{LOOKS[kind].colour}" d="{"".join(some)}"/>' for kind, some in together.items() if some
    ]
    drawn += [
        f'<path id="place-{number}" fill="{LOOKS[kinds_N[number]].colour}" d="{paths[number]}">'
        f"<title>{escape(text)}</title></path>"
        for number, text in reversed(list(named.items()))
        if number in paths
    ]
    box = f"-10 -10 {width + 20:.0f} {height + 70:.0f}"
    inside = "\n".join([*drawn, _scale_bar(units, height)])
    return f'<svg viewBox="{box}" role="img" aria-label="{escape(title)}">\n{inside}\n</svg>'


def _paths(shapes_N: npt.NDArray[np.object_]) -> tuple[dict[int, str], float, tuple[float, float]]:
    """Return the places' outlines, how many units a metre has, and the map's width and height."""
    parts, owners = shapely.get_parts(shapes_N, return_index=True)
    corners_C2, rings = shapely.get_coordinates(shapely.get_exterior_ring(parts), return_index=True)
    x, y = corners_C2.T
    if np.ptp(x) > 180:  # on both sides of the antimeridian
        x = np.where(x < 0, x + 360, x)
    shrunk = math.cos(math.radians(float(y.min() + y.max()) / 2))
    x, y = (x - x.min()) * shrunk, y.max() - y
    units = _SIDE / max(float(x.max()), float(y.max()), 1e-9)
    paths: dict[int, str] = {}
    starts = np.flatnonzero(np.diff(rings, prepend=-1))
    for ring_C2, owner in zip(np.split(np.stack([x, y], axis=1) * units, starts[1:]), owners, strict=True):
        path = "L".join(f"{across:.1f} {down:.1f}" for across, down in ring_C2[:-1].tolist())
        paths[int(owner)] = f"{paths.get(int(owner), '')}M{path}Z"
    return paths, units / _METRES, (float(x.max()) * units, float(y.max()) * units)


def _scale_bar(units: float, height: float) -> str:
    """Draw a length that is a round number of metres, about a fifth of the map."""
    power = 10 ** math.floor(math.log10(_SIDE / 5 / units))
    metres = max(step * power for step in (1, 2, 5) if step * power * units <= _SIDE / 5)
    text = f"{metres / 1000:g} km" if metres >= 1000 else f"{metres:g} m"
    top, end = height + 30, metres * units
    line = f'<line x1="0" x2="{end:.1f}" y1="{top:.0f}" y2="{top:.0f}"/>'
    return f'{line}<text x="{end + 12:.1f}" y="{top + 7:.0f}">{text}</text>'
