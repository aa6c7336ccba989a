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


def both(data: bytes) -> tuple[Array | None, Array | None]:
    """The pixels of this module and of Pillow, each None where it cannot; the header must be good."""
    with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
        quickly_HWC = decode_rgb(data, image.height, image.width, len(image.getbands()))
        try:
            return quickly_HWC, np.asarray(image.convert("RGB"))
        except OSError:
            return quickly_HWC, None


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
    quickly_HWC, expected_HWC = both(data)
    assert quickly_HWC is not None
    assert expected_HWC is not None
    assert quickly_HWC.flags.c_contiguous
    assert quickly_HWC.dtype == np.uint8
    np.testing.assert_array_equal(quickly_HWC, expected_HWC)


def test_what_it_cannot_do_alike_is_left_to_pillow() -> None:
    data = encoded(photo(), "JPEG")
    black = Image.merge("CMYK", [photo().convert("L")] * 4)
    assert both(encoded(black, "JPEG"))[0] is None
    for cut in (data[:-2], data[: len(data) // 2]):
        assert both(cut)[0] is None
    assert both(data + b"anything")[0] is not None
    assert decode_rgb(data, SIZE_PX, SIZE_PX - 1, 3) is None
    assert decode_rgb(data, SIZE_PX, SIZE_PX, 4) is None


@settings(max_examples=300)
@given(st.data())
def test_a_damaged_file_is_decoded_as_pillow_would_or_not_at_all(draw: st.DataObject) -> None:
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
    try:
        quickly_HWC, expected_HWC = both(bytes(data))
    except (OSError, SyntaxError, ValueError):
        return  # its header is refused before any decoding
    if quickly_HWC is not None:
        assert expected_HWC is not None
        np.testing.assert_array_equal(quickly_HWC, expected_HWC)


def test_every_real_chip_is_decoded_as_pillow_does(shared_data: Path) -> None:
    files = [*(shared_data / "planet" / "jpg").glob("*.jpg"), *(shared_data / "ucmerced" / "chips").glob("*")]
    assert len(files) > 1000
    for file in files:
        quickly_HWC, expected_HWC = both(file.read_bytes())
        assert quickly_HWC is not None
        assert expected_HWC is not None
        np.testing.assert_array_equal(quickly_HWC, expected_HWC)
