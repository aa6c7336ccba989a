import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from service.jpeg import decode_rgb
from tests.fakes import Array, encoded

SIZE_PX = 64


def photo(size_px: int = SIZE_PX) -> Image.Image:
    """Smooth noise, so that every coefficient of the JPEG has something to do."""
    noise = np.random.default_rng(0).integers(0, 256, (12, 12, 3), np.uint8)
    return Image.fromarray(noise).resize((size_px, size_px), Image.Resampling.BICUBIC)


def pillow(data: bytes) -> Array | None:
    """Pillow's pixels, None where it refuses."""
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError):
        return None


def without_adobe_marker(data: bytes) -> bytes:
    """As Planet's chips are: four components and nothing that says which."""
    start = data.index(b"\xff\xee")
    return data[:start] + data[start + 2 + int.from_bytes(data[start + 2 : start + 4], "big") :]


@pytest.mark.parametrize("adobe", [True, False])
@pytest.mark.parametrize("mode", ["RGB", "CMYK"])
@pytest.mark.parametrize(
    "options",
    [{}, {"progressive": True}, {"subsampling": 0}, {"quality": 60}, {"restart_marker_blocks": 3}],
    ids=str,
)
def test_pixels_are_pillows(mode: str, adobe: bool, options: dict[str, int]) -> None:
    data = encoded(photo().convert(mode), "JPEG", **options)
    if mode == "CMYK" and not adobe:
        data = without_adobe_marker(data)
    quickly_HWC, expected_HWC = decode_rgb(data, SIZE_PX, SIZE_PX), pillow(data)
    assert quickly_HWC is not None
    assert expected_HWC is not None
    assert quickly_HWC.flags.c_contiguous
    assert quickly_HWC.dtype == np.uint8
    np.testing.assert_array_equal(quickly_HWC, expected_HWC)


def test_what_it_cannot_do_alike_is_left_to_pillow() -> None:
    data = encoded(photo(), "JPEG")
    black = Image.merge("CMYK", [photo().convert("L")] * 4)
    for other in (
        encoded(photo(SIZE_PX - 1), "JPEG"),
        encoded(photo().convert("L"), "JPEG"),
        encoded(black, "JPEG"),
        encoded(photo(), "PNG"),
        data[:-2],
        data[: len(data) // 2],
        b"\xff\xd8\xff\xd9",
        b"",
    ):
        assert decode_rgb(other, SIZE_PX, SIZE_PX) is None
    assert decode_rgb(data + b"anything", SIZE_PX, SIZE_PX) is not None


@settings(max_examples=300)
@given(st.data())
def test_of_a_damaged_file_it_makes_nothing_else_than_pillow(draw: st.DataObject) -> None:
    mode = draw.draw(st.sampled_from(["RGB", "CMYK"]))
    data = bytearray(encoded(photo().convert(mode), "JPEG"))
    for _ in range(draw.draw(st.integers(1, 4))):
        where = draw.draw(st.integers(2, len(data) - 3))
        match draw.draw(st.sampled_from(["flip", "cut", "insert", "end"])):
            case "flip":
                data[where] ^= draw.draw(st.integers(1, 255))
            case "cut":
                del data[where : where + draw.draw(st.integers(1, 200))]
            case "insert":
                data[where:where] = draw.draw(st.binary(min_size=1, max_size=20))
            case "end":
                data[where:] = b"\xff\xd9"
        if len(data) < 6:
            break
    quickly_HWC, expected_HWC = decode_rgb(bytes(data), SIZE_PX, SIZE_PX), pillow(bytes(data))
    if quickly_HWC is not None and expected_HWC is not None:  # Pillow is stricter about headers
        np.testing.assert_array_equal(quickly_HWC, expected_HWC)


def test_every_real_chip_is_decoded_as_pillow_does(shared_data: Path) -> None:
    files = [*(shared_data / "planet" / "jpg").glob("*.jpg"), *(shared_data / "ucmerced" / "chips").glob("*")]
    assert len(files) > 1000
    quickly = 0
    for file in files:
        data = file.read_bytes()
        quickly_HWC, expected_HWC = decode_rgb(data, 256, 256), pillow(data)
        assert expected_HWC is not None
        assert (quickly_HWC is not None) == (expected_HWC.shape == (256, 256, 3))
        if quickly_HWC is not None:
            np.testing.assert_array_equal(quickly_HWC, expected_HWC)
            quickly += 1
    assert quickly > 0.95 * len(files)
