import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from rasterio.warp import transform as to_system

from service.contract.manifest import InputSpec
from service.scenes.area import box, in_pixels, read_area
from service.scenes.errors import SceneError
from service.scenes.grid import Grid
from service.scenes.scene import open_scene
from tests.kit.scenes import NORTH_UP, UTM, noise, write_scene

RGB = InputSpec(bands=("red", "green", "blue"), height=64, width=64)
SQUARE = {"type": "Polygon", "coordinates": [[[1, 2], [3, 2], [3, 4], [1, 4], [1, 2]]]}


@pytest.mark.parametrize(
    "written",
    [
        SQUARE,
        {"type": "Feature", "properties": {}, "geometry": SQUARE},
        {
            "type": "FeatureCollection",
            "features": [{"type": "Feature", "properties": {}, "geometry": SQUARE}],
        },
        {"type": "MultiPolygon", "coordinates": [SQUARE["coordinates"]]},
    ],
)
def test_geojson_is_read_whatever_holds_the_polygon(written: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "area.geojson").write_text(json.dumps(written))
    assert read_area(tmp_path / "area.geojson").equals(shapely.box(1, 2, 3, 4))


@pytest.mark.parametrize(
    "text",
    [
        "no JSON",
        "[]",
        "{}",
        '{"type": "FeatureCollection"}',
        '{"type": "FeatureCollection", "features": []}',
        '{"type": "Point", "coordinates": [1, 2]}',
        json.dumps(SQUARE).replace("3", "500000"),  # metres
        json.dumps({"type": "Feature", "geometry": None}),
    ],
)
def test_what_is_no_area_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "area.geojson").write_text(text)
    with pytest.raises(SceneError, match="EPSG:4326"):
        read_area(tmp_path / "area.geojson")


def test_a_box_may_cross_the_antimeridian() -> None:
    assert box(179, -1, -179, 1).area == pytest.approx(4)
    assert box(1, 2, 3, 4).equals(shapely.box(1, 2, 3, 4))
    with pytest.raises(SceneError):
        box(1, 4, 3, 2)


@pytest.mark.parametrize("turned", [0, 17, 200])
def test_windows_that_touch_the_area_are_kept(turned: float, tmp_path: Path) -> None:
    transform = NORTH_UP @ Affine.rotation(turned)
    file = write_scene(tmp_path / "scene.tif", noise(640, 640), transform=transform)
    scene = open_scene(str(file), RGB)
    corners = [transform @ at for at in ((130, 70), (250, 70), (250, 190), (130, 190))]
    degrees = np.transpose(to_system(UTM, "EPSG:4326", *zip(*corners, strict=True)))
    area = shapely.Polygon(degrees)
    np.testing.assert_allclose(in_pixels(area, scene.ground).bounds, (130, 70, 250, 190), atol=0.01)
    kept = {(place.column, place.row) for place in Grid(scene, RGB, area=area)}
    assert kept == {(column, row) for column in (128, 192) for row in (64, 128)}


def test_far_away_there_is_none_and_nowhere_no_answer(tmp_path: Path) -> None:
    scene = open_scene(str(write_scene(tmp_path / "scene.tif", noise(64, 64))), RGB)
    assert len(Grid(scene, RGB, area=box(-10, -10, -9, -9))) == 0
    unplaced = write_scene(tmp_path / "b.tif", noise(64, 64), crs=None, transform=rasterio.Affine.identity())
    with pytest.raises(SceneError, match="does not say where"):
        Grid(open_scene(str(unplaced), RGB), RGB, area=box(0, 0, 1, 1))
