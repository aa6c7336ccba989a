import io

import numpy as np
import pytest
from PIL import Image

from service.contract.chips.pictures import claimed_samples, read_picture
from service.contract.errors import CorruptChip, TooManyPixels, WrongBands
from service.contract.manifest import InputSpec
from tests.kit.fakes import RED, encoded, picture

SPEC = InputSpec(bands=("red", "green", "blue"), height=64, width=64)
FORMATS = ("JPEG", "PNG", "WEBP", "JPEG2000")


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_gives_its_colours(kind: str) -> None:
    np.testing.assert_allclose(
        read_picture(encoded(picture(RED), kind), FORMATS, SPEC).mean((0, 1)), RED, atol=6
    )


@pytest.mark.parametrize("kind", FORMATS)
def test_grey_is_repeated_where_the_bundle_takes_it(kind: str) -> None:
    data = encoded(Image.new("L", (64, 64), 90), kind)
    if kind != "WEBP":  # has no grey of its own
        with pytest.raises(WrongBands, match="is grey"):
            read_picture(data, FORMATS, SPEC)
    grey = SPEC.model_copy(update={"grey": True})
    np.testing.assert_allclose(read_picture(data, FORMATS, grey), np.full((64, 64, 3), 90), atol=2)


def test_what_moves_is_too_large_or_broken_is_refused() -> None:
    moving = encoded(picture(RED), "WEBP", save_all=True, append_images=[picture((0, 0, 9))])
    with pytest.raises(WrongBands, match="it has 2 frames"):
        read_picture(moving, FORMATS, SPEC)
    with pytest.raises(TooManyPixels, match="4097"):
        read_picture(encoded(picture(RED, 4097), "JPEG2000"), FORMATS, SPEC)
    for kind in FORMATS:
        data = encoded(picture(RED), kind)
        with pytest.raises(CorruptChip, match="whole file"):
            read_picture(data[: len(data) // 3], FORMATS, SPEC)
    with pytest.raises(CorruptChip, match="header is broken"):
        read_picture(b"RIFF\0\0\0\0WEBP", FORMATS, SPEC)


@pytest.mark.parametrize("no_jp2", [False, True])
def test_jpeg_2000_of_other_than_eight_bits_is_refused(no_jp2: bool) -> None:
    """As a PNG of 16 bits: values to 4,095 would make a nearly black picture."""
    stream = io.BytesIO()
    Image.fromarray(np.full((64, 64), 4000, np.uint16)).save(stream, "JPEG2000", no_jp2=no_jp2)
    with pytest.raises(WrongBands, match="16 bits a sample, and how much of them"):
        read_picture(stream.getvalue(), ("JPEG2000",), SPEC.model_copy(update={"grey": True}))
    colours = bytearray(encoded(picture(RED), "JPEG2000", no_jp2=no_jp2))
    colours[colours.index(b"\xff\x4f\xff\x51") + 45] = 0x80 | 7
    with pytest.raises(WrongBands, match="8 signed bits a sample"):
        read_picture(bytes(colours), ("JPEG2000",), SPEC)


def test_four_bands_of_jpeg_2000_need_a_word_for_their_colours() -> None:
    opaque = picture(RED).convert("RGBA")
    np.testing.assert_allclose(
        read_picture(encoded(opaque, "JPEG2000"), FORMATS, SPEC).mean((0, 1)), RED, atol=6
    )
    with pytest.raises(WrongBands, match="has 4 bands, and which is which cannot be told"):
        read_picture(encoded(opaque, "JPEG2000", no_jp2=True), FORMATS, SPEC)


def test_a_palette_that_is_missing_is_a_broken_file() -> None:
    data = encoded(picture(RED).convert("P"), "PNG")
    start = data.index(b"PLTE") - 4
    without = data[:start] + data[start + 12 + int.from_bytes(data[start : start + 4]) :]
    with pytest.raises(CorruptChip, match="whole file"):
        read_picture(without, FORMATS, SPEC.model_copy(update={"nodata": 0}))


@pytest.mark.parametrize("kind", ["WEBP", "JPEG2000"])
def test_the_claimed_samples_are_read_without_reading_any(kind: str) -> None:
    data = encoded(picture(RED, 100), kind)
    assert claimed_samples(data) == 100 * 100 * 3
    assert claimed_samples(data[:20]) == 0
