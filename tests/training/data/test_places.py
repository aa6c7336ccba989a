import math
from pathlib import Path

import pytest

from service.contract.chips.band_files import group_bands
from service.contract.chips.georeference import Ring
from tests.kit.ground import ground, write_geotiff
from training.data.places import DEGREE_KM, pairs_of_place, read_places


def square(
    east_km: float, north_km: float, side_km: float = 0.1, around: tuple[float, float] = (10, 50)
) -> Ring:
    shrink = math.cos(math.radians(around[1]))
    corners = [(0, 0), (side_km, 0), (side_km, side_km), (0, side_km)]
    return [
        (around[0] + (east_km + x) / DEGREE_KM / shrink, around[1] + (north_km + y) / DEGREE_KM)
        for x, y in corners
    ]


def pairs(places: list[Ring | None], block_km: float) -> set[tuple[int, ...]]:
    return {tuple(sorted(pair)) for pair in pairs_of_place(places, block_km).tolist() if pair[0] != pair[1]}


def test_without_blocks_only_what_overlaps_is_of_one_place() -> None:
    places = [square(0, 0), square(0.05, 0.05), square(0.1, 0), None, square(5, 5)]
    assert pairs(places, 0) == {(0, 1), (1, 2)}  # the first and the third touch


def test_neighbours_that_touch_do_not_overlap_whichever_way_they_are_turned() -> None:
    def turned(ring: Ring) -> Ring:
        return [(x * 0.8 - y * 0.6, x * 0.6 + y * 0.8) for x, y in ring]

    near_equator = (0.0, 0.0)
    places = [
        turned(square(0.1 * column, 0.1 * row, around=near_equator)) for row in (0, 1) for column in (0, 1)
    ]
    assert pairs([*places], 0) == set()
    assert pairs([*places, turned(square(0.05, 0, around=near_equator))], 0) == {(0, 4), (1, 4)}


def test_the_order_of_corners_does_not_matter() -> None:
    assert pairs([square(0, 0)[::-1], square(0.02, 0)], 0) == {(0, 1)}


@pytest.mark.parametrize("block_km", [2.0, 20.0])
def test_a_block_holds_what_lies_within_it(block_km: float) -> None:
    steps = [block_km * step / 10 for step in range(40)]
    places: list[Ring | None] = [square(east, 0, 0.01) for east in steps]
    found = pairs(places, block_km)
    assert found and all(abs(steps[one] - steps[other]) <= block_km * 1.1 for one, other in found)
    firsts = {one for one, _ in found}
    assert 4 <= len(firsts) <= 5  # four blocks' length, begun anywhere


def test_both_sides_of_the_antimeridian_are_neighbours() -> None:
    west, east = square(-0.05, 0, around=(180, 10)), square(0, 0, around=(-180, 10))
    assert pairs([west, east], 0) == {(0, 1)}


def test_files_tell_where_they_lie(tmp_path: Path) -> None:
    files = [write_geotiff(tmp_path / f"{east}.tif", ground(east), east, 0) for east in (0, 32, 64, 500)]
    plain = tmp_path / "plain.jpg"
    plain.write_bytes(b"no picture")
    places = read_places([*files, plain, tmp_path / "gone.tif"])
    assert [place is None for place in places] == [False] * 4 + [True] * 2
    assert pairs(places, 0) == {(0, 1), (1, 2)}
    assert pairs_of_place([None, None], 1).shape == (0, 2)


def test_a_chip_of_one_file_per_band_lies_where_its_first_does(tmp_path: Path) -> None:
    for band in ("B02", "B03"):
        write_geotiff(tmp_path / f"a_{band}.tif", ground(1), 100, 200)
    chips = group_bands(sorted(tmp_path.iterdir()), None).chips
    assert read_places(chips) == read_places([tmp_path / "a_B02.tif"]) != [None]
