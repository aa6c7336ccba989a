from collections import Counter
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine

from service.contract.manifest import InputSpec
from service.scenes.area import box
from service.scenes.errors import SceneError
from service.scenes.grid import Grid
from service.scenes.scene import open_scene
from tests.kit.scenes import noise, write_empty, write_scene

RGB = InputSpec(bands=("red", "green", "blue"), height=64, width=64)


def grid_of(file: Path, spec: InputSpec = RGB, **asked: float) -> Grid:
    return Grid(open_scene(str(file), spec), spec, **asked)


@pytest.mark.parametrize("stride", [1, 0.5, 0.3])
@pytest.mark.parametrize("tile_px", [0, 64, 256])
def test_windows_cover_the_scene_and_stay_inside(stride: float, tile_px: int, tmp_path: Path) -> None:
    tiles: dict[str, Any] = {"tiled": True, "blockxsize": tile_px, "blockysize": tile_px} if tile_px else {}
    grid = grid_of(write_empty(tmp_path / "scene.tif", 1500, 1133, **tiles), stride=stride)
    seen_HW = np.zeros((1133, 1500), np.int64)
    for place in grid:
        assert place.column + 64 <= 1500
        assert place.row + 64 <= 1133
        seen_HW[place.row : place.row + 64, place.column : place.column + 64] += 1
    assert seen_HW.min() == 1
    starts = Counter((place.column, place.row) for place in grid)
    assert max(starts.values()) == 1
    assert len(starts) == len(grid)
    assert [*chain(*grid.groups())] == [*range(len(grid))]
    assert [*chain(*grid.groups(100))] == [*range(100, len(grid))]
    for group in grid.groups():  # what is read together lies together
        places = grid[group[0] : group[-1] + 1]
        assert max(place.row for place in places) - min(place.row for place in places) <= 1024


def test_it_is_a_sequence(tmp_path: Path) -> None:
    grid = grid_of(write_empty(tmp_path / "scene.tif", 256, 128))
    assert [(place.column, place.row) for place in grid[:5]] == [(0, 0), (64, 0), (128, 0), (192, 0), (0, 64)]
    assert grid[-1] == grid[len(grid) - 1] == list(grid)[-1]
    with pytest.raises(IndexError):
        grid[len(grid)]


@pytest.mark.parametrize(
    ("resolution_m", "side_px"),
    [
        (None, 64),
        (0.5, 64),
        (0.51, 64),
        (0.48, 64),
        (1.0, 128),
        (0.98, 128),
        (0.25, 32),
        (0.7, 90),
        (0.4, 51),
    ],
)
def test_a_window_shows_as_much_ground_as_a_chip(
    resolution_m: float | None, side_px: int, tmp_path: Path
) -> None:
    file = write_empty(tmp_path / "scene.tif", 400, 400)  # of 0.5 m
    spec = RGB.model_copy(update={"resolution_m": resolution_m})
    grid = grid_of(file, spec)
    assert (grid.width, grid.height) == (side_px, side_px)
    assert grid_of(file, RGB, resolution_m=resolution_m or 0).width == side_px
    assert bool(grid.remarks) == (resolution_m is None)


def test_degrees_make_windows_that_are_not_square(tmp_path: Path) -> None:
    # At 60° north a degree along is half of one up.
    transform = Affine(1e-5, 0, 10, 0, -1e-5, 60)
    file = write_scene(tmp_path / "scene.tif", noise(200, 200), crs="EPSG:4326", transform=transform)
    grid = grid_of(file, resolution_m=0.8)
    assert grid.width == pytest.approx(64 * 0.8 / 0.558, abs=1)
    assert grid.height == pytest.approx(64 * 0.8 / 1.114, abs=1)


@pytest.mark.parametrize(
    ("crs", "transform", "even"),
    [
        ("EPSG:4326", Affine(1e-5, 0, 10, 0, -1e-5, 60), True),
        ("EPSG:4326", Affine(0.1, 0, 10, 0, -0.03, 60), False),  # down to the equator
        ("EPSG:4326", Affine(0.1, 0, 10, 0, -0.09, 90), False),
        ("EPSG:3857", Affine(4_000, 0, 0, 0, -4_000, 8_000_000), False),
        ("EPSG:32737", Affine(0.5, 0, 500_000, 0, -0.5, 9_300_000), True),
    ],
)
def test_a_scene_whose_pixels_differ_far_in_size_is_remarked(
    crs: str, transform: Affine, even: bool, tmp_path: Path
) -> None:
    file = write_scene(tmp_path / "scene.tif", noise(2000, 100), crs=crs, transform=transform)
    scene = open_scene(str(file), RGB)
    assert scene.pixel_m
    grid = Grid(scene, RGB, resolution_m=scene.pixel_m[0])
    assert [("cut it into parts" in remark) for remark in grid.remarks] == ([] if even else [True])


def test_the_bundle_or_its_sensor_tells_the_resolution() -> None:
    assert RGB.ground_resolution_m is None
    naip = InputSpec(bands=("red",), sensor="naip", height=64, width=64)
    assert naip.ground_resolution_m == 0.6
    assert naip.model_copy(update={"resolution_m": 1.0}).ground_resolution_m == 1.0


def test_a_scene_smaller_than_a_window_is_labelled_in_smaller_ones(tmp_path: Path) -> None:
    grid = grid_of(write_empty(tmp_path / "scene.tif", 100, 50))
    assert [(place.column, place.width, place.height) for place in grid] == [(0, 50, 50), (50, 50, 50)]
    assert "smaller than a window" in grid.remarks[-1]
    (place,) = grid_of(write_empty(tmp_path / "scene.tif", 57, 57), resolution_m=100 / 64 * 0.5)
    assert (place.width, place.height) == (57, 57)  # of 100, which 0.57 times is a little less than 57


@pytest.mark.parametrize(
    ("width", "resolution_m", "reason"),
    [
        (20, 0.5, "give a larger scene"),
        (400, 0.1, "show too much ground"),
        (400, 1e-9, "show too much ground"),
        (10_000, 50.0, "gdaladdo"),
    ],
)
def test_what_gives_no_windows_is_refused(
    width: int, resolution_m: float, reason: str, tmp_path: Path
) -> None:
    with pytest.raises(SceneError, match=reason):
        grid_of(write_empty(tmp_path / "scene.tif", width, width), resolution_m=resolution_m)


def test_a_huge_scene_costs_nothing_before_it_is_read(tmp_path: Path) -> None:
    tiles: dict[str, Any] = {"tiled": True, "blockxsize": 8192, "blockysize": 4096, "bigtiff": "yes"}
    grid = grid_of(write_empty(tmp_path / "scene.tif", 1_000_000, 1_000_000, **tiles))
    assert len(grid) == 15_625**2
    last = grid[-1]
    assert (last.column, last.row) == (1_000_000 - 64, 1_000_000 - 64)
    first = next(grid.groups())
    assert len(first) * 64 * 64 * 3 <= 32 << 20
    west, north = grid[0].geometry["coordinates"][0][3]  # type: ignore[index]
    few = Grid(grid.scene, RGB, area=box(west, north - 0.001, west + 0.001, north))
    assert 0 < len(few) < 100
