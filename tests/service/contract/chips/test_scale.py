"""What is said of chips that show the ground far larger or smaller than the bundle knows."""

import io
import math
from pathlib import Path

import numpy as np
import pytest
import tifffile

from service.contract.chips.band_files import decode_band_files
from service.contract.chips.decode import decode
from service.contract.chips.scale import scale_warnings
from service.contract.manifest import InputSpec
from tests.kit.fakes import RED, encoded, picture
from tests.kit.ground import ground, write_geotiff

SPEC = InputSpec(bands=("red", "green", "blue"), height=64, width=64)
FIX = "chipvote map FILE"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WebP", "TIFF"])
def test_what_is_squeezed_by_far_is_said_and_a_few_pixels_are_not(kind: str) -> None:
    for size_px in (44, 60, 64, 66, 96):
        assert decode(encoded(picture(RED, size_px), kind), SPEC).warnings == []
    (squeezed,) = decode(encoded(picture(RED, 640), kind), SPEC).warnings
    assert squeezed == (
        "the chip is 640×640 px and was squeezed to 64×64: what it shows is 10 times smaller than what the "
        "bundle knows; map the scene it is from, in windows of the right size: chipvote map FILE"
    )
    (stretched,) = decode(encoded(picture(RED, 32), kind), SPEC).warnings
    assert "32×32 px and was stretched to 64×64" in stretched and "2 times larger" in stretched


def test_the_side_that_is_farther_off_counts() -> None:
    for size_px, said in (
        ((128, 64), "2 times smaller"),
        ((64, 256), "4 times smaller"),
        ((70, 32), "larger"),
    ):
        (warning,) = scale_warnings(b"", size_px, SPEC)
        assert said in warning and FIX in warning


@pytest.mark.parametrize(
    ("size_px", "known_m", "said"),
    [
        (64, 1.0, None),
        (64, 0.7, None),
        (64, 0.3, "3.33 times smaller"),
        (64, 3.0, "3 times larger"),
        (128, 2.0, None),  # twice the pixels, each half as wide
        (128, 1.0, "2 times smaller"),
        (640, None, "squeezed to 64×64"),  # the bundle does not know: its size decides
    ],
)
def test_where_both_tell_their_resolution_that_decides(
    tmp_path: Path, size_px: int, known_m: float | None, said: str | None
) -> None:
    data = write_geotiff(tmp_path / "chip.tif", ground(1, size_px), 0, 0).read_bytes()
    warnings = decode(data, SPEC.model_copy(update={"resolution_m": known_m})).warnings
    assert len(warnings) == (said is not None)
    if said:
        assert said in warnings[0] and FIX in warnings[0]


def test_a_file_that_says_nothing_is_judged_by_its_size() -> None:
    known = SPEC.model_copy(update={"resolution_m": 0.3})
    assert decode(encoded(picture(RED), "TIFF"), known).warnings == []
    assert "squeezed" in decode(encoded(picture(RED, 640), "TIFF"), known).warnings[0]


def test_bands_in_files_of_their_own_are_judged_by_the_largest() -> None:
    spec = InputSpec(bands=("red", "nir"), dtype="uint16", height=64, width=64, file_bands=("red", "nir"))
    sizes = {"red": 256, "nir": 128}
    files = {}
    for band, size_px in sizes.items():
        stream = io.BytesIO()
        tifffile.imwrite(stream, np.full((size_px, size_px), 500, np.uint16))
        files[band] = stream.getvalue()
    (warning,) = decode_band_files(files, spec).warnings
    assert "256×256 px and was squeezed" in warning


def test_a_sensor_tells_the_resolution_of_its_bundles() -> None:
    sensor = InputSpec(
        bands=("red", "green", "blue", "nir"), height=64, width=64, dtype="uint8", sensor="naip"
    )
    assert sensor.ground_resolution_m is not None and math.isclose(sensor.ground_resolution_m, 0.6)
    assert sensor.model_copy(update={"resolution_m": 1.0}).ground_resolution_m == 1.0
    assert SPEC.ground_resolution_m is None
