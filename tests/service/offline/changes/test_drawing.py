import re
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt
import pytest
import shapely

from service.offline.changes.differences import Kind
from service.offline.changes.drawing import drawing


def _shapes(*boxes: tuple[float, float, float, float]) -> npt.NDArray[np.object_]:
    return np.array([shapely.box(*box) for box in boxes])


def test_a_place_is_drawn_north_up_and_true_to_scale() -> None:
    # At 60° a degree of longitude is half as long as one of latitude.
    shapes = _shapes((10, 59, 12, 60), (12, 60, 14, 61))
    root = ElementTree.fromstring(drawing(shapes, [Kind.NONE, Kind.APPEARED], {1: "+mud <1>"}, "a map"))
    grey, named = root.findall("path")
    south_west, north_east = (_extent(path) for path in (grey, named))
    assert south_west == pytest.approx((0, 500, 500, 1000), abs=1)
    assert north_east == pytest.approx((500, 0, 1000, 500), abs=1)
    title = named.find("title")
    assert (named.get("id"), title is not None and title.text) == ("place-1", "+mud <1>")
    assert (root.get("role"), root.get("aria-label")) == ("img", "a map")


def _extent(path: ElementTree.Element) -> tuple[float, float, float, float]:
    points = [tuple(map(float, pair)) for pair in re.findall(r"([\d.]+) ([\d.]+)", path.get("d") or "")]
    across, down = zip(*points, strict=True)
    return min(across), min(down), max(across), max(down)


def test_a_scale_bar_says_a_round_length() -> None:
    root = ElementTree.fromstring(drawing(_shapes((0, 0, 0.01, 0.01)), [Kind.NONE], {}, "a map"))
    bar, text = root.find("line"), root.find("text")
    assert bar is not None and text is not None and text.text == "200 m"
    assert float(bar.get("x2", 0)) == pytest.approx(200 / 1113.2 * 1000, rel=0.01)


def test_across_the_antimeridian_both_sides_are_neighbours() -> None:
    shapes = _shapes((179.9, 0, 180, 0.1), (-180, 0, -179.9, 0.1))
    root = ElementTree.fromstring(drawing(shapes, [Kind.NONE] * 2, {0: "a", 1: "b"}, "a map"))
    east, west = (_extent(path) for path in root.findall("path"))  # the first lies on top, so it is last
    assert west[2] == pytest.approx(east[0], abs=0.2)
    assert east[2] == pytest.approx(1000, abs=0.2)
