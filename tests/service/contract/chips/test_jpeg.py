import io
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from service.contract.chips.decode import decode_chip
from service.contract.chips.jpeg import MAX_SEGMENTS, decode_rgb, read_header, without_metadata
from service.contract.errors import ChipError, CorruptChip, NotAnImage
from service.contract.manifest import InputSpec
from tests.kit.fakes import Array, encoded

SIZE_PX = 64
SPEC = InputSpec(bands=("red", "green", "blue"), height=256, width=256)


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


def quickly(data: bytes) -> Array | None:
    """What is decoded without Pillow, None where the header is refused, too."""
    try:
        return decode_rgb(data, read_header(data))
    except ChipError:
        return None


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
    quickly_HWC, expected_HWC = quickly(data), pillow(data)
    assert quickly_HWC is not None
    assert expected_HWC is not None
    assert quickly_HWC.flags.c_contiguous
    assert quickly_HWC.dtype == np.uint8
    np.testing.assert_array_equal(quickly_HWC, expected_HWC)


def test_what_it_cannot_do_alike_is_left_to_pillow() -> None:
    data = encoded(photo(), "JPEG")
    black = Image.merge("CMYK", [photo().convert("L")] * 4)
    for other in (
        encoded(photo().convert("L"), "JPEG"),
        encoded(black, "JPEG"),
        data[:-2],
        data[: len(data) // 2],
        b"\xff\xd8\xff\xd9",
        b"",
    ):
        assert quickly(other) is None
    assert quickly(data + b"anything") is not None


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
    quickly_HWC, expected_HWC = quickly(bytes(data)), pillow(bytes(data))
    if quickly_HWC is not None and expected_HWC is not None:  # Pillow is stricter about headers
        np.testing.assert_array_equal(quickly_HWC, expected_HWC)


def test_every_real_chip_is_decoded_as_pillow_does(shared_data: Path) -> None:
    files = [*(shared_data / "planet" / "jpg").glob("*.jpg"), *(shared_data / "ucmerced" / "chips").glob("*")]
    assert len(files) > 1000
    for file in files:
        data = file.read_bytes()
        quickly_HWC, expected_HWC = quickly(data), pillow(data)
        assert expected_HWC is not None
        assert quickly_HWC is not None
        np.testing.assert_array_equal(quickly_HWC, expected_HWC)


def start_of_frame(data: bytes, *, marker: int = 0xC0, bits: int = 8, height: int = SIZE_PX) -> bytes:
    """The file with another frame header."""
    at = data.index(b"\xff\xc0")
    return (
        data[:at]
        + bytes([0xFF, marker])
        + data[at + 2 : at + 4]
        + bytes([bits, *height.to_bytes(2)])
        + data[at + 7 :]
    )


@pytest.mark.parametrize(
    ("marker", "bits", "says"),
    [
        (0xC0, 12, "a 12-bit JPEG"),
        (0xC1, 12, "a 12-bit JPEG"),
        (0xC3, 16, "a lossless JPEG"),
        (0xC5, 8, "a hierarchical JPEG"),
        (0xC9, 8, "a JPEG with arithmetic coding"),
        (0xCA, 8, "a JPEG with arithmetic coding"),
        (0xCB, 8, "a lossless JPEG"),
        (0xF7, 8, "a JPEG-LS"),
    ],
)
def test_whole_files_of_other_kinds_are_named(marker: int, bits: int, says: str) -> None:
    data = start_of_frame(encoded(photo(), "JPEG"), marker=marker, bits=bits)
    with pytest.raises(NotAnImage, match=f"the file is {says}; accepted are baseline and progressive"):
        read_header(data)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (start_of_frame(encoded(photo(), "JPEG"), height=0), "height open"),
        (encoded(photo(), "JPEG")[:300], "broken or cut short"),
        (b"\xff\xd8\xff" + bytes(50), "broken or cut short"),
        (b"\xff\xd8\xff\xd9", "broken or cut short"),
        (b"\xff\xd8\xff\xd9\0\0", "no picture"),
        (b"\xff\xd8" + encoded(photo(), "JPEG")[2:].replace(b"\xff\xdb", b"\xff\xd9", 1), "no picture"),
    ],
)
def test_a_header_says_what_is_wrong_with_it(data: bytes, says: str) -> None:
    with pytest.raises(CorruptChip, match=says):
        read_header(data)


def test_a_second_frame_is_refused() -> None:
    data = encoded(photo(), "JPEG")
    at = data.index(b"\xff\xc0")
    frame = data[at : at + 2 + int.from_bytes(data[at + 2 : at + 4])]
    with pytest.raises(CorruptChip, match="two frame headers"):
        read_header(data[:at] + frame + data[at:])


@pytest.mark.parametrize("filling", [b"\xff" * 5000, bytes(7), b"\xff\0", b"junk", b"\xff" * 1_000_000])
@pytest.mark.parametrize("before", [b"\xff\xdb", b"\xff\xda"])
def test_what_stands_between_two_segments_is_passed_over(filling: bytes, before: bytes) -> None:
    data = encoded(photo(), "JPEG")
    at = data.index(before)
    padded = data[:at] + filling + data[at:]
    np.testing.assert_array_equal(decode_chip(padded, SPEC), decode_chip(data, SPEC))


@pytest.mark.parametrize("filling", [b"\xff\xe1\0\2", b"\xff\x01"])
def test_endless_headers_are_left_after_a_thousand_steps(filling: bytes) -> None:
    data = encoded(photo(), "JPEG")
    few, many = (data[:2] + filling * count + data[2:] for count in (MAX_SEGMENTS - 50, 1_000_000))
    assert read_header(few)[:3] == (SIZE_PX, SIZE_PX, 3)
    began_s = time.thread_time()
    with pytest.raises(CorruptChip, match=f"more than {MAX_SEGMENTS} segments"):
        read_header(many)
    assert time.thread_time() - began_s < 10


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_pillow_needs_no_metadata(mode: str) -> None:
    plain = encoded(photo().convert(mode), "JPEG")
    exif = Image.Exif()
    exif[0x010E] = "a picture"
    rich = encoded(photo().convert(mode), "JPEG", exif=exif, icc_profile=bytes(200_000), comment=b"a text")
    bare = without_metadata(rich, read_header(rich))
    assert len(bare) == len(plain)
    np.testing.assert_array_equal(pillow(bare), pillow(rich))


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


LEAKY = {
    "three components": encoded(photo(256), "JPEG"),
    "four components": without_adobe_marker(encoded(photo(256).convert("CMYK"), "JPEG")),
    "another size": encoded(photo(300), "JPEG"),
    "progressive": encoded(photo(500), "JPEG", progressive=True),
    "grey": encoded(photo(256).convert("L"), "JPEG"),
    "cut": encoded(photo(256), "JPEG")[:4000],
    "cut and ended": encoded(photo(256), "JPEG")[:4000] + b"\xff\xd9",
    "damaged": encoded(photo(256), "JPEG").replace(b"\xff\xc4\0\x1f", b"\xff\xc4\0\x1f\xff"),
    "12 bits": start_of_frame(encoded(photo(256), "JPEG"), bits=12),
}


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
@pytest.mark.parametrize("name", LEAKY)
def test_no_file_costs_memory_for_good(name: str) -> None:
    def decode(times: int) -> None:
        for _ in range(times):
            with suppress(ChipError):
                decode_chip(LEAKY[name], SPEC)

    decode(50)
    before = resident_bytes()
    decode(200)
    assert (resident_bytes() - before) / 200 < 1000
