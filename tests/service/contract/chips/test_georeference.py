"""Corners and resolutions of GeoTIFFs; test_footprint.py has what is made of corners."""

import math
from pathlib import Path

import pytest
from pyproj import Transformer

from service.contract.chips.georeference import corners, resolution_m
from tests.kit.ground import UTM_21S, ground, write_geotiff


def test_corners_run_from_the_lower_left(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = write_geotiff(tmp_path / "chip.tif", ground(1), 100, 200).read_bytes()
    to_degrees = Transformer.from_crs(UTM_21S, 4326, always_xy=True)
    metres = [(100, 136), (164, 136), (164, 200), (100, 200)]
    expected = [to_degrees.transform(500_000 + east, 9_000_000 + north) for east, north in metres]
    found = corners(data)
    assert found is not None
    assert [value for point in found for value in point] == pytest.approx([v for p in expected for v in p])
    assert not caplog.records


@pytest.mark.parametrize("data", [b"", b"II*\0", b"\xff\xd8 a JPEG"])
def test_what_says_nothing_has_none(data: bytes) -> None:
    assert corners(data) is None


@pytest.mark.parametrize("place_m", [(0, 0), (200_000, -3_000_000)])
def test_the_resolution_is_that_of_the_ground(tmp_path: Path, place_m: tuple[float, float]) -> None:
    data = write_geotiff(tmp_path / "chip.tif", ground(1), *place_m).read_bytes()
    # UTM's scale is between 0.9996 and 1.001 inside its zone.
    assert resolution_m(data) == pytest.approx(1.0, rel=1.5e-3)


def test_what_a_map_stretches_does_not_count(tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    latitude = 60.0  # where Web Mercator is twice as large as the ground
    west, north = Transformer.from_crs(4326, 3857, always_xy=True).transform(25.0, latitude)
    transform = rasterio.Affine(2.0, 0.0, west, 0.0, -2.0, north)
    profile = {"driver": "GTiff", "count": 1, "dtype": "uint8", "width": 64, "height": 64}
    with rasterio.open(tmp_path / "chip.tif", "w", crs="EPSG:3857", transform=transform, **profile) as file:
        file.write(ground(1)[..., 0], 1)
    found_m = resolution_m((tmp_path / "chip.tif").read_bytes())
    assert found_m == pytest.approx(2.0 * math.cos(math.radians(latitude)), rel=5e-3)


@pytest.mark.parametrize("data", [b"", b"II*\0", b"\xff\xd8 a JPEG"])
def test_what_says_nothing_has_no_resolution(data: bytes) -> None:
    assert resolution_m(data) is None
