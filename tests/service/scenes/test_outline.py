"""Rings; tests/service/answers/test_footprint.py has more of them, from files."""

import pytest

from service.scenes.outline import outline


def test_a_ring_is_closed_and_turned_counterclockwise() -> None:
    assert outline([(1, 2), (3, 2), (3, 0), (1, 0)]) == {
        "type": "Polygon",
        "coordinates": [[(1, 0), (3, 0), (3, 2), (1, 2), (1, 0)]],
    }


def test_at_the_antimeridian_it_is_cut() -> None:
    found = outline([(179, 0), (-179, 0), (-179, 2), (179, 2)])
    assert found
    assert found["type"] == "MultiPolygon"
    assert sorted(min(x for x, _ in part[0]) for part in found["coordinates"]) == [-180, 179]


def test_a_corner_that_rounding_put_beyond_the_end_of_the_world_is_at_it() -> None:
    assert outline([(179, -89), (180 + 3e-11, -89), (180 + 3e-11, -90 - 1e-11), (179, -90 - 1e-11)]) == {
        "type": "Polygon",
        "coordinates": [[(179, -90), (180, -90), (180, -89), (179, -89), (179, -90)]],
    }


@pytest.mark.parametrize("ring", [[(0, 0), (200, 0), (200, 5), (100, 9)], [(0, 91)] * 4, [(5, 5)] * 4])
def test_what_says_nothing_has_none(ring: list[tuple[float, float]]) -> None:
    assert outline(ring) is None
