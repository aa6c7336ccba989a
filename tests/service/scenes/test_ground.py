"""Corners, outlines and pixel sizes, against rasterio's own transforms and formulas."""

import math
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.warp import transform as to_system

from service.contract.manifest import InputSpec
from service.scenes.grid import Grid
from service.scenes.ground import Ground
from service.scenes.scene import open_scene
from tests.kit.scenes import NORTH_UP, UTM, noise, write_scene

SPEC = InputSpec(bands=("red", "green", "blue"), height=64, width=64)
GRIDS = {
    "UTM": (UTM, NORTH_UP),
    "degrees": ("EPSG:4326", Affine(2e-6, 0, 30.1, 0, -3e-6, 60.2)),
    "rotated": (UTM, NORTH_UP @ Affine.rotation(17)),
    "south up": (UTM, Affine(0.5, 0, 500_000, 0, 0.5, 5_000_000)),
    "beyond the antimeridian": ("EPSG:4326", Affine(1e-4, 0, 179.99, 0, -1e-4, -17)),
}


@pytest.mark.parametrize("name", GRIDS)
def test_corners_are_where_rasterio_says(name: str, tmp_path: Path) -> None:
    crs, transform = GRIDS[name]
    file = write_scene(tmp_path / "scene.tif", noise(150, 200), crs=crs, transform=transform)
    grid = Grid(open_scene(str(file), SPEC), SPEC, stride=0.7)
    with rasterio.open(file) as dataset:
        for place in grid:
            right, low = place.column + place.width, place.row + place.height
            pixels = [(place.column, place.row), (right, place.row), (right, low), (place.column, low)]
            expected = [dataset.xy(row, column, offset="ul") for column, row in pixels]
            found = [dataset.index(*corner, op=round) for corner in place.corners]
            np.testing.assert_allclose(place.corners, expected, rtol=1e-12)
            assert [(column, row) for row, column in found] == pixels
            assert place.geometry
            longitudes, latitudes = to_system(dataset.crs, "EPSG:4326", *zip(*expected, strict=True))
            rings = place.geometry["coordinates"]
            rings = rings if place.geometry["type"] == "Polygon" else [part[0] for part in rings]
            points = [(x % 360, y) for ring in rings for x, y in ring]
            for x, y in zip(longitudes, latitudes, strict=True):
                assert min(math.dist((x % 360, y), point) for point in points) < 2e-7


def test_a_pixels_size_is_that_on_the_ground() -> None:
    web = rasterio.CRS.from_epsg(3857).to_wkt()
    along_m, down_m = Ground(web, Affine(0.3, 0, 4_000_000, 0, -0.3, 8_399_737)).pixel_m(1000, 1000) or (0, 0)
    assert along_m == pytest.approx(0.3 * math.cos(math.radians(60)), rel=0.003)  # of a sphere
    assert down_m == pytest.approx(along_m, rel=0.01)
    degrees = rasterio.CRS.from_epsg(4326).to_wkt()
    along_m, down_m = Ground(degrees, Affine(1e-5, 0, 10, 0, -1e-5, 60)).pixel_m(10, 10) or (0, 0)
    assert along_m == pytest.approx(0.558, rel=0.001)  # a degree at 60° is 55.80 km along, 111.41 up
    assert down_m == pytest.approx(1.1141, rel=0.001)


@pytest.mark.parametrize(
    "wkt",
    [
        None,
        'LOCAL_CS["a factory floor",UNIT["metre",1]]',
        'GEOGCS["Mars",DATUM["D_Mars_2000",SPHEROID["Mars_2000",3396190,169.89]],'
        'PRIMEM["Reference_Meridian",0],UNIT["Degree",0.0174532925199433]]',
        "no system at all",
    ],
)
def test_what_is_not_on_the_earth_has_corners_alone(wkt: str | None) -> None:
    ground = Ground(wkt, Affine.identity())
    place = ground.place("a.tif", 2, 3, 10, 20)
    assert place.corners == ((2, 3), (12, 3), (12, 23), (2, 23))
    assert place.geometry is None
    assert ground.pixel_m(100, 100) is None


def test_beyond_what_a_projection_shows_there_is_no_outline() -> None:
    geostationary = rasterio.CRS.from_string("+proj=geos +h=35785831 +sweep=y").to_wkt()
    ground = Ground(geostationary, Affine(1000, 0, -6e6, 0, -1000, 6e6))
    assert ground.place("a.tif", 0, 0, 64, 64).geometry is None
    assert ground.place("a.tif", 6000, 6000, 64, 64).geometry
