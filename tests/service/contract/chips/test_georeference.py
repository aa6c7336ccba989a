"""Corners of GeoTIFFs; tests/service/answers/test_footprint.py has what is made of them."""

from pathlib import Path

import pytest
from pyproj import Transformer

from service.contract.chips.georeference import corners
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
