import json
import math
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
        {"type": "FeatureCollection", "features": [{"geometry": None}, {"geometry": SQUARE}]},
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
        "[" * 100_000,
    ],
)
def test_what_is_no_area_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "area.geojson").write_text(text)
    with pytest.raises(SceneError, match="EPSG:4326"):
        read_area(tmp_path / "area.geojson")


def test_crossed_outlines_and_a_byte_order_mark_are_taken(tmp_path: Path) -> None:
    crossed = {"type": "Polygon", "coordinates": [[[0, 0], [2, 2], [2, 0], [0, 2], [0, 0]]]}
    both = {"type": "FeatureCollection", "features": [{"geometry": crossed}, {"geometry": SQUARE}]}
    (tmp_path / "area.geojson").write_text(json.dumps(both), encoding="utf-8-sig")
    assert read_area(tmp_path / "area.geojson").area == pytest.approx(2 + 4)


def test_a_box_may_cross_the_antimeridian() -> None:
    assert box(179, -1, -179, 1).area == pytest.approx(4)
    assert box(1, 2, 3, 4).equals(shapely.box(1, 2, 3, 4))
    with pytest.raises(SceneError):
        box(1, 4, 3, 2)
    for numbers in ((math.nan, 0, 1, 1), (0, math.nan, 1, 1), (0, 0, math.inf, 1)):
        with pytest.raises(SceneError):
            box(*numbers)


@pytest.mark.parametrize("turned", [0, 17, 200])
def test_windows_that_touch_the_area_are_kept(turned: float, tmp_path: Path) -> None:
    transform = NORTH_UP @ Affine.rotation(turned)
    file = write_scene(tmp_path / "scene.tif", noise(640, 640), transform=transform)
    scene = open_scene(str(file), RGB)
    corners = [transform @ at for at in ((130, 70), (250, 70), (250, 190), (130, 190))]
    degrees = np.transpose(to_system(UTM, "EPSG:4326", *zip(*corners, strict=True)))
    area = shapely.Polygon(degrees)
    np.testing.assert_allclose(in_pixels(area, scene.ground, 640, 640).bounds, (130, 70, 250, 190), atol=0.01)
    kept = {(place.column, place.row) for place in Grid(scene, RGB, area=area)}
    assert kept == {(column, row) for column in (128, 192) for row in (64, 128)}


BEYOND = {
    "degrees": ("EPSG:4326", Affine(0.01, 0, 178.73, 0, -0.01, 10)),
    "Web Mercator": ("EPSG:3857", Affine(500, 0, 19_970_000, 0, -500, 1_000_000)),
    "UTM": ("EPSG:32660", Affine(500, 0, 770_000, 0, -500, 1_000_000)),
}


@pytest.mark.parametrize("system", BEYOND)
def test_beyond_the_antimeridian_windows_are_found_from_either_side(system: str, tmp_path: Path) -> None:
    crs, transform = BEYOND[system]
    file = write_scene(tmp_path / "scene.tif", noise(64, 256), crs=crs, transform=transform)
    scene = open_scene(str(file), RGB)
    everywhere = {place.column: shapely.geometry.shape(place.geometry) for place in Grid(scene, RGB)}
    for area in (box(-180, -90, 180, 90), box(-180, -80, -170, 80), box(170, -80, 180, 80)):
        kept = {place.column for place in Grid(scene, RGB, area=area)}
        assert kept == {column for column, ground in everywhere.items() if ground.intersects(area)}
        assert kept


def test_of_a_large_area_what_is_near_counts(tmp_path: Path) -> None:
    scene = open_scene(str(write_scene(tmp_path / "scene.tif", noise(128, 128))), RGB)
    for area in (box(-180, -90, 180, 90), box(-60, 0, 170, 80)):
        assert len(Grid(scene, RGB, area=area)) == 4


def test_far_away_there_is_none_and_nowhere_no_answer(tmp_path: Path) -> None:
    scene = open_scene(str(write_scene(tmp_path / "scene.tif", noise(64, 64))), RGB)
    assert len(Grid(scene, RGB, area=box(-10, -10, -9, -9))) == 0
    unplaced = write_scene(tmp_path / "b.tif", noise(64, 64), crs=None, transform=rasterio.Affine.identity())
    with pytest.raises(SceneError, match="does not say where"):
        Grid(open_scene(str(unplaced), RGB), RGB, area=box(0, 0, 1, 1))
