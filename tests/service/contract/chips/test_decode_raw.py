"""Raw values of a sensor's bands, which no picture holds; the other chips: test_decode.py."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import tifffile

from service.contract.chips import decode
from service.contract.chips.decode import decode_chip
from service.contract.errors import ChipError, EmptyChip, NotAnImage, WrongBands
from service.contract.manifest import InputSpec
from service.contract.sensors import Band, Dtype
from tests.kit.fakes import RED, SIZE_PX, Array
from tests.service.contract.chips.test_decode import (
    GOOD,
    PLANET,
    PLANET_BANDS,
    RGB,
    RGBN,
    SPEC,
    pixels_of,
    tiff,
)

RAW = tiff(pixels_of(PLANET, np.uint16), photometric="minisblack", planarconfig="contig")
RAW_SPEC = InputSpec(bands=("nir", "red", "blue"), dtype="uint16", height=SIZE_PX, width=SIZE_PX)


@pytest.mark.parametrize(
    "data",
    [
        RAW,
        tiff(pixels_of(PLANET, np.uint16), photometric="minisblack", planarconfig="contig", byteorder=">"),
        tiff(
            np.moveaxis(pixels_of(PLANET, np.uint16), -1, 0),
            photometric="minisblack",
            planarconfig="separate",
        ),
    ],
)
@pytest.mark.parametrize("bands", list(itertools.permutations(PLANET_BANDS)))
def test_raw_values_come_whole_and_in_the_asked_order(data: bytes, bands: tuple[Band, ...]) -> None:
    chip_HWC = decode_chip(data, RAW_SPEC.model_copy(update={"bands": bands}))
    assert chip_HWC.dtype == np.dtype("=u2")
    assert chip_HWC.flags.c_contiguous
    values = dict(zip(PLANET_BANDS, PLANET, strict=True))
    np.testing.assert_array_equal(chip_HWC, np.broadcast_to([values[b] for b in bands], chip_HWC.shape))


def test_some_of_the_bands_will_do() -> None:
    assert decode_chip(RAW, RAW_SPEC)[0, 0].tolist() == [9000, 4000, 5000]
    bgr = SPEC.model_copy(update={"bands": ("blue", "red")})
    assert decode_chip(GOOD["RGB PNG"], bgr)[0, 0].tolist() == [RED[2], RED[0]]
    assert decode_chip(RAW, bgr)[0, 0].tolist() == [97, 129]


@pytest.mark.parametrize("photometric", ["rgb", "minisblack"])
def test_near_infrared_in_eight_bits(photometric: str) -> None:
    spec = InputSpec(bands=("nir", "green"), height=SIZE_PX, width=SIZE_PX)
    options = {"extrasamples": ["unspecified"]} if photometric == "rgb" else {}
    data = tiff(pixels_of((10, 20, 30, 99)), photometric=photometric, planarconfig="contig", **options)
    assert (decode_chip(data, spec) == (99, 20)).all()
    for wrong in (GOOD["RGB JPEG"], GOOD["uint8 TIFF"], RAW):
        with pytest.raises(WrongBands, match="this bundle needs TIFF chips of 4 bands of uint8"):
            decode_chip(wrong, spec)


@pytest.mark.parametrize(
    ("data", "error", "found"),
    [
        (GOOD["RGB JPEG"], WrongBands, "the JPEG holds 8-bit RGB"),
        (GOOD["RGB PNG"], WrongBands, "the PNG holds 8-bit RGB"),
        (GOOD["uint8 TIFF with four bands"], WrongBands, r"4 band\(s\) of uint8"),
        (tiff(pixels_of(RED, np.uint16), photometric="rgb"), WrongBands, r"3 band\(s\) of uint16"),
        (b"hello", NotAnImage, "no known image"),
        (b"", EmptyChip, "no bytes"),
    ],
)
def test_what_has_no_raw_values_is_refused(data: bytes, error: type[ChipError], found: str) -> None:
    with pytest.raises(error, match=rf"{found}.*this bundle needs TIFF chips of 4 bands of uint16 \(blue"):
        decode_chip(data, RAW_SPEC)


def bilinear(row: Array, size: int) -> Array:
    """Enlarge a row by the textbook: linear between pixel centres, level beyond the outermost."""
    centres = (np.arange(size) + 0.5) * len(row) / size - 0.5
    return np.interp(centres, np.arange(len(row)), row)


@pytest.mark.parametrize(("dtype", "bands"), [("uint16", 4), ("uint8", 4), ("uint8", 2)])
def test_other_bands_are_resized_without_losing_bits(dtype: str, bands: int) -> None:
    random_HWC = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (40, 50, 4), dtype, endpoint=True)
    spec = InputSpec.model_validate(
        {"bands": PLANET_BANDS[4 - bands :], "dtype": dtype, "height": SIZE_PX, "width": SIZE_PX}
    )
    file_bands = PLANET_BANDS if dtype == "uint16" else RGBN
    chip_HWC = decode_chip(tiff(random_HWC, photometric="minisblack", planarconfig="contig"), spec)
    assert chip_HWC.dtype == dtype
    assert chip_HWC.shape == (SIZE_PX, SIZE_PX, bands)
    expected_HWC = np.apply_along_axis(bilinear, 0, random_HWC.astype(float), SIZE_PX)
    expected_HWC = np.apply_along_axis(bilinear, 1, expected_HWC, SIZE_PX)
    expected_HWC = expected_HWC[..., [file_bands.index(band) for band in spec.bands]]
    assert np.abs(chip_HWC - expected_HWC).max() <= 0.51


def test_real_planet_chips_decode_raw(shared_data: Path) -> None:
    spec = InputSpec(bands=PLANET_BANDS, dtype="uint16", height=256, width=256)
    files = sorted((shared_data / "planet" / "tif").glob("*.tif"))
    assert files
    for file in files:
        np.testing.assert_array_equal(decode_chip(file.read_bytes(), spec), tifffile.imread(file))


@pytest.mark.parametrize(
    ("dtype", "nodata"), [("float32", -1.0), ("int16", -9999.0), ("uint16", 0.0), ("uint8", 0.0)]
)
def test_chips_of_any_number_type_can_be_looked_at(dtype: Dtype, nodata: float) -> None:
    spec = InputSpec(bands=RGB, file_bands=RGB, dtype=dtype, height=SIZE_PX, width=SIZE_PX, nodata=nodata)
    values_HWC = np.random.default_rng(0).integers(1, 200, (SIZE_PX, SIZE_PX, 3)).astype(dtype)
    shown_HWC = decode.picture(tiff(values_HWC, photometric="rgb"), spec)
    assert shown_HWC.shape == values_HWC.shape
    assert shown_HWC.dtype == np.uint8
    assert np.corrcoef(shown_HWC.ravel(), values_HWC.ravel())[0, 1] > 0.99
