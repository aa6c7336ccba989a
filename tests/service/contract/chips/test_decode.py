import io
import random
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from service.contract.chips.decode import decode_chip
from service.contract.chips.jpeg import MAX_SCANS
from service.contract.errors import (
    ChipError,
    CorruptChip,
    EmptyChip,
    NotAnImage,
    TooManyPixels,
    WrongBands,
    WrongSize,
)
from service.contract.manifest import InputSpec
from service.contract.sensors import SENSORS
from tests.kit.fakes import RED, SIZE_PX, Array, encoded, picture

PLANET_BANDS = SENSORS["planet-contest"].bands
RGBN = SENSORS["naip"].bands
RGB = RGBN[:3]

SPEC = InputSpec(bands=("red", "green", "blue"), height=SIZE_PX, width=SIZE_PX)


def tiff(pixels: Array, **options: Any) -> bytes:  # noqa: ANN401
    stream = io.BytesIO()
    tifffile.imwrite(stream, pixels, **options)
    return stream.getvalue()


def pixels_of(colour: tuple[int, ...], dtype: type = np.uint8) -> Array:
    return np.full((SIZE_PX, SIZE_PX, len(colour)), colour, dtype)


PLANET = (5000, 4500, 4000, 9000)

GOOD = {
    "RGB JPEG": encoded(picture(RED), "JPEG"),
    "CMYK JPEG": encoded(picture(RED).convert("CMYK"), "JPEG"),
    "RGB PNG": encoded(picture(RED), "PNG"),
    "RGBA PNG": encoded(picture(RED).convert("RGBA"), "PNG"),
    "palette PNG": encoded(picture(RED).convert("P"), "PNG"),
    "uint8 TIFF": tiff(pixels_of(RED), photometric="rgb"),
    "uint8 TIFF with four bands": tiff(pixels_of((*RED, 99)), photometric="rgb"),
    "compressed TIFF": tiff(pixels_of(RED), photometric="rgb", compression="zlib"),
    "big-endian TIFF": tiff(pixels_of(RED), photometric="rgb", byteorder=">"),
    "BigTIFF": tiff(pixels_of(RED), photometric="rgb", bigtiff=True),
    "planar TIFF": tiff(np.moveaxis(pixels_of(RED), -1, 0), photometric="rgb", planarconfig="separate"),
}


@pytest.mark.parametrize("name", GOOD)
def test_every_format_gives_the_same_picture(name: str) -> None:
    chip_HWC = decode_chip(GOOD[name], SPEC)
    assert chip_HWC.shape == (SIZE_PX, SIZE_PX, 3)
    assert chip_HWC.dtype == np.uint8
    assert chip_HWC.flags.c_contiguous
    np.testing.assert_allclose(chip_HWC.mean(axis=(0, 1)), RED, atol=4)


@pytest.mark.parametrize("planar", [False, True])
def test_planet_tiff_is_toned_band_by_band(planar: bool) -> None:
    pixels = pixels_of(PLANET, np.uint16)
    if planar:
        data = tiff(np.moveaxis(pixels, -1, 0), photometric="minisblack", planarconfig="separate")
    else:
        data = tiff(pixels, photometric="minisblack", planarconfig="contig")
    red, green, blue = decode_chip(data, SPEC)[0, 0]
    # Read off the tone curves: 4000 in red, 4500 in green and 5000 in blue.
    assert (red, green, blue) == (129, 118, 97)


def test_other_sizes_are_resized() -> None:
    assert decode_chip(encoded(picture(RED, 50), "PNG"), SPEC).shape == (SIZE_PX, SIZE_PX, 3)


def test_a_four_component_jpeg_without_a_marker_is_not_inverted() -> None:
    cmyk = GOOD["CMYK JPEG"]
    adobe = cmyk.index(b"\xff\xee")
    length = int.from_bytes(cmyk[adobe + 2 : adobe + 4], "big")
    bare = cmyk[:adobe] + cmyk[adobe + 2 + length :]
    with Image.open(io.BytesIO(bare)) as image:
        assert image.mode == "CMYK"
        expected = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(decode_chip(bare, SPEC), expected)


@pytest.mark.parametrize(
    ("data", "error", "says"),
    [
        (b"", EmptyChip, "no bytes"),
        (b"hello", NotAnImage, "68 65 6c 6c"),
        (encoded(picture(RED), "GIF"), NotAnImage, "accepted are JPEG"),
        (encoded(picture(RED), "PNG")[:60], CorruptChip, "whole file"),
        (encoded(picture(RED), "JPEG")[:400], CorruptChip, "whole file"),
        (b"\xff\xd8\xff" + b"\0" * 50, CorruptChip, "header"),
        (GOOD["uint8 TIFF"][:200], CorruptChip, "whole file"),
        (encoded(picture(RED).convert("L"), "PNG"), WrongBands, "the PNG is grey"),
        (tiff(pixels_of(RED, np.uint16), photometric="rgb"), WrongBands, r"3 band\(s\) of uint16"),
        (
            tiff(np.zeros((2, 64, 64, 3), np.uint8), photometric="rgb", volumetric=True, tile=(16, 16, 16)),
            WrongBands,
            r"2 layer\(s\)",
        ),
        (tiff(np.zeros((SIZE_PX, SIZE_PX), np.uint8)), WrongBands, "the TIFF is grey"),
        (encoded(picture(RED, 31), "PNG"), WrongSize, "31×31"),
        (encoded(picture(RED, 4097), "PNG"), TooManyPixels, "4097×4097"),
        (encoded(Image.new("1", (13000, 13000)), "PNG"), TooManyPixels, "13000×13000"),
    ],
)
def test_a_bad_chip_says_what_is_wrong(data: bytes, error: type[ChipError], says: str) -> None:
    with pytest.raises(error, match=says) as caught:
        decode_chip(data, SPEC)
    assert type(caught.value) is error


GREY = np.full((64, 64, 3), 90, np.uint8)


def test_a_png_inside_a_tiff_is_refused_undecoded() -> None:
    with pytest.raises(NotAnImage, match=r"compressed with .*accepted are none, LZW"):
        decode_chip(tiff(GREY, photometric="rgb", compression="png"), SPEC)


@pytest.mark.parametrize(
    "compression", ["lzw", "deflate", "packbits", "zstd", "lzma", "jpeg", "webp", "jpeg2000", "lerc"]
)
@pytest.mark.parametrize("photometric", ["rgb", "ycbcr"])
def test_usual_compressions_are_accepted(compression: str, photometric: str) -> None:
    reds_HWC = pixels_of(RED)
    if photometric == "rgb":
        found_HWC = decode_chip(tiff(reds_HWC, photometric="rgb", compression=compression), SPEC)
        np.testing.assert_allclose(found_HWC, reds_HWC, atol=6)
    elif compression == "jpeg":
        stored_HWC = np.asarray(picture(RED).convert("YCbCr"))
        found_HWC = decode_chip(tiff(stored_HWC, photometric="ycbcr", compression="jpeg"), SPEC)
        np.testing.assert_allclose(found_HWC, reds_HWC, atol=6)
    else:
        with pytest.raises(WrongBands, match="YCbCr, read from JPEG of three components alone"):
            decode_chip(tiff(reds_HWC, photometric="ycbcr", compression=compression), SPEC)


def test_tiny_tiles_are_refused_undecoded() -> None:
    data = tiff(GREY, photometric="rgb", tile=(16, 16))
    assert (decode_chip(data, SPEC) == 90).all()
    width, tiny_width = (struct.pack("<HHII", 322, 4, 1, side_px) for side_px in (16, 1))  # the tag
    assert width in data
    tiny = data.replace(width, tiny_width)
    with pytest.raises(CorruptChip, match="tiles are 1×16 px"):
        decode_chip(tiny, SPEC)


@pytest.mark.parametrize("size_px", [SIZE_PX, 2 * SIZE_PX])
def test_a_jpeg_of_endless_scans_is_refused_undecoded(size_px: int) -> None:
    data = encoded(picture(RED, size_px), "JPEG", progressive=True)
    last = data[data.rindex(b"\xff\xda") : -2]
    few, many = (data[:-2] + last * count + b"\xff\xd9" for count in (MAX_SCANS // 2, MAX_SCANS))
    assert (decode_chip(few, SPEC) == decode_chip(data, SPEC)).all()
    with pytest.raises(CorruptChip, match=f"more than {MAX_SCANS} scans"):
        decode_chip(many, SPEC)


def test_other_colour_spaces_are_refused() -> None:
    with pytest.raises(WrongBands, match=r"colours are CMYK \(SEPARATED\)"):
        decode_chip(tiff(np.zeros((64, 64, 4), np.uint8), photometric="separated"), SPEC)


@pytest.mark.parametrize("name", GOOD)
def test_broken_bytes_raise_nothing_but_chip_errors(name: str) -> None:
    generator = random.Random(name)
    for _ in range(60):
        damaged = bytearray(GOOD[name])
        for _ in range(generator.randint(1, 6)):
            damaged[generator.randrange(4, len(damaged))] = generator.randrange(256)
        if generator.random() < 0.3:
            del damaged[generator.randrange(5, len(damaged)) :]
        try:
            chip_HWC = decode_chip(bytes(damaged), SPEC)
        except ChipError:
            continue
        assert chip_HWC.shape == (SIZE_PX, SIZE_PX, 3)


def test_real_planet_chips_decode(shared_data: Path) -> None:
    spec = InputSpec(bands=("red", "green", "blue"), height=256, width=256)
    files = sorted((shared_data / "planet").rglob("*.jpg")) + sorted((shared_data / "planet").rglob("*.tif"))
    assert files
    for file in files:
        chip_HWC = decode_chip(file.read_bytes(), spec)
        assert chip_HWC.shape == (256, 256, 3)
        assert 10 < chip_HWC.mean() < 250
        assert chip_HWC.std() > 1
