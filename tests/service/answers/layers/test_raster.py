from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine

from service.answers.layers.errors import LayerError
from service.answers.layers.raster import write
from service.answers.layers.rows import Row
from service.scenes.place import Place
from tests.kit.layers import LABELS, NOWHERE, grid, parts_of, verdict, window

NORTH_UP = Affine(0.3, 0, 500_000, 0, -0.3, 9_300_000)
SOUTH_UP = Affine(0.3, 0, 500_000, 0, 0.3, 9_300_000)
ROTATED = Affine.translation(500_000, 9_300_000) @ Affine.rotation(17) @ Affine.scale(0.3, -0.3)


def _row(column: int, row: int, probability: float, transform: Affine = NORTH_UP, side: int = 64) -> Row:
    ends = ((column, row), (column + side, row), (column + side, row + side), (column, row + side))
    a, b, c, d = (transform @ end for end in ends)
    place = Place("a.tif", column, row, side, side, (a, b, c, d), None)
    return Row(place, verdict("water", probability=probability), None, "EPSG:32737")


@pytest.mark.parametrize("transform", [NORTH_UP, SOUTH_UP, ROTATED], ids=["north up", "south up", "rotated"])
def test_a_window_is_a_pixel_in_its_place(tmp_path: Path, transform: Affine) -> None:
    rows = [_row(10 + 64 * i, 20 + 64 * j, (i + 10 * j) / 100, transform) for j in range(3) for i in range(4)]
    write(parts_of(tmp_path, rows), tmp_path / "map.tif")
    with rasterio.open(tmp_path / "map.tif") as file:
        assert (file.width, file.height, file.descriptions) == (4, 3, LABELS)
        assert (file.crs.to_epsg(), file.dtypes[0], np.isnan(file.nodata)) == (32737, "float32", True)
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert file.tags()["model"] == "colours"
        centre = transform @ (10 + 64 * 2.5, 20 + 64 * 1.5)
        sampled = next(file.sample([centre]))
    assert sampled[LABELS.index("water")] == pytest.approx(0.12)
    assert sampled[0] == pytest.approx(0.1)


def test_where_windows_overlap_the_nearer_centre_weighs_more(tmp_path: Path) -> None:
    # Windows of 64 px every 16: a pixel's centre is 8 or 24 px from those of the four that see it.
    rows = [
        _row(column, 0, probability) for column, probability in ((0, 0.0), (16, 0.4), (32, 0.8), (48, 1.0))
    ]
    write(parts_of(tmp_path, rows), tmp_path / "map.tif")
    with rasterio.open(tmp_path / "map.tif") as file:
        found_W = file.read(LABELS.index("water") + 1)[0]
    near, far = 1 - 8 / 32, 1 - 24 / 32
    assert len(found_W) == (48 + 64) // 16
    assert found_W[0] == pytest.approx(0.0)
    assert found_W[3] == pytest.approx(
        (far * 0.0 + near * 0.4 + near * 0.8 + far * 1.0) / (2 * near + 2 * far)
    )
    assert found_W[-1] == pytest.approx(1.0)


def test_where_no_window_has_a_verdict_there_is_no_data(tmp_path: Path) -> None:
    rows = [_row(0, 0, 0.9), _row(64, 0, 0.9)._replace(verdict=None, failure="cut"), _row(128, 64, 0.8)]
    write(parts_of(tmp_path, rows), tmp_path / "map.tif")
    with rasterio.open(tmp_path / "map.tif") as file:
        assert np.isnan(file.read(1)).tolist() == [[False, True, True], [True, True, False]]


def test_a_last_window_that_is_moved_inside_the_scene_leaves_no_hole(tmp_path: Path) -> None:
    rows = [_row(column, 0, 0.5) for column in (0, 64, 128, 170)]
    write(parts_of(tmp_path, rows), tmp_path / "map.tif")
    with rasterio.open(tmp_path / "map.tif") as file:
        assert file.read(LABELS.index("water") + 1) == pytest.approx(np.full((1, 4), 0.5))
    for starts, pixels in (((0, 1), 4), ((0, 64, 65), 2)):
        write(parts_of(tmp_path, [_row(column, 0, 0.5) for column in starts]), tmp_path / "map.tif")
        with rasterio.open(tmp_path / "map.tif") as file:
            assert file.width == pixels


def test_equal_rows_make_equal_bytes(tmp_path: Path) -> None:
    parts = parts_of(tmp_path, grid(30, lambda *_: ["water"]))
    write(parts, tmp_path / "a.tif")
    write(parts, tmp_path / "b.tif")
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()


def test_several_scenes_and_none_are_refused(tmp_path: Path) -> None:
    rows = [Row(window(0, 0, scene), verdict("water"), None, "EPSG:4326") for scene in ("a.tif", "b.tif")]
    with pytest.raises(LayerError, match="these are 2; write one for each"):
        write(parts_of(tmp_path, rows), tmp_path / "map.tif")
    with pytest.raises(LayerError, match="no window has a verdict"):
        write(parts_of(tmp_path, [Row(NOWHERE, verdict("water"))]), tmp_path / "map.tif")
    assert not (tmp_path / "map.tif").exists()
