from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.control import GroundControlPoint

from service.contract.manifest import InputSpec
from service.scenes.errors import NotAScene, SceneError
from service.scenes.scene import open_scene
from tests.kit.scenes import UTM, noise, write_scene

RGB = InputSpec(bands=("red", "green", "blue"), height=64, width=64)


def test_a_header_says_what_the_windows_are(tmp_path: Path) -> None:
    tiles: dict[str, Any] = {"tiled": True, "blockxsize": 64, "blockysize": 32}
    file = write_scene(tmp_path / "scene.tif", noise(150, 200), nodata=9, overviews=(2, 4), **tiles)
    scene = open_scene(str(file), RGB, name="mine.tif")
    assert (scene.name, scene.address, scene.width, scene.height) == ("mine.tif", str(file), 200, 150)
    assert (scene.crs, scene.nodata, scene.masked, scene.block) == (UTM, 9, False, (64, 32))
    assert scene.overviews == (2, 4)
    assert scene.resolution_m == pytest.approx(0.5, rel=1e-3)
    assert open_scene(str(file), RGB, nodata=3).nodata == 3


def test_a_system_without_a_code_is_told_in_full(tmp_path: Path) -> None:
    own = "+proj=laea +lat_0=12 +lon_0=34 +datum=WGS84"
    scene = open_scene(str(write_scene(tmp_path / "scene.tif", noise(64, 64), crs=own)), RGB)
    assert scene.crs
    assert rasterio.CRS.from_wkt(scene.crs) == rasterio.CRS.from_string(own)
    assert scene.resolution_m == pytest.approx(0.5, rel=0.1)


def test_a_scene_of_nowhere_has_pixels_alone(tmp_path: Path) -> None:
    file = write_scene(tmp_path / "scene.tif", noise(64, 64), crs=None, transform=Affine.identity())
    scene = open_scene(str(file), RGB)
    assert (scene.crs, scene.pixel_m, scene.resolution_m) == (None, None, None)


def test_control_points_alone_are_no_grid(tmp_path: Path) -> None:
    points = [GroundControlPoint(row=y, col=x, x=30 + x, y=50 - y) for x, y in ((0, 0), (64, 0), (0, 64))]
    form = {"driver": "GTiff", "width": 64, "height": 64, "count": 3, "dtype": "uint8"}
    with rasterio.open(tmp_path / "a.tif", "w", gcps=points, crs="EPSG:4326", **form) as dataset:
        dataset.write(np.ones((3, 64, 64), np.uint8))
    with pytest.raises(SceneError, match="gdalwarp"):
        open_scene(str(tmp_path / "a.tif"), RGB)


def test_errors_name_the_scene(tmp_path: Path) -> None:
    with pytest.raises(NotAScene, match=r"^nowhere.tif: there is no such file"):
        open_scene("nowhere.tif", RGB)
    flat = write_scene(tmp_path / "flat.tif", noise(64, 64), transform=Affine(0.5, 0, 1, 0.5, 0, 1))
    with pytest.raises(SceneError, match="its pixels have no area"):
        open_scene(str(flat), RGB)


def test_whatever_is_damaged_it_is_a_scene_error_or_a_scene(tmp_path: Path) -> None:
    tiles: dict[str, Any] = {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "lzw"}
    whole = write_scene(tmp_path / "whole.tif", noise(130, 130), **tiles).read_bytes()
    random = np.random.default_rng(0)
    ends = {"opened": 0, "refused": 0}
    for _ in range(60):
        data = bytearray(whole)
        for at in random.integers(0, 500, 3):
            data[at : at + 2] = random.bytes(2)
        (tmp_path / "damaged.tif").write_bytes(data)
        try:
            open_scene(str(tmp_path / "damaged.tif"), RGB)
            ends["opened"] += 1
        except SceneError as error:
            ends["refused"] += 1
            assert str(tmp_path / "damaged.tif") in error.detail
    assert min(ends.values()) > 0
