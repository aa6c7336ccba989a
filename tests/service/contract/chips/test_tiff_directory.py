import io
import struct
import time
from typing import Any

import numpy as np
import pytest
import tifffile

from service.contract.chips.tiff_directory import MAX_ENTRIES, MAX_VALUES, claimed_samples, with_only
from service.contract.errors import CorruptChip

PIXELS = np.arange(64 * 64 * 3, dtype=np.uint8).reshape(64, 64, 3)
OF_PIXELS = (256, 257, 258, 259, 262, 273, 277, 278, 279, 284, 317, 322, 323, 324, 325, 339)


def tiff(**options: Any) -> bytes:  # noqa: ANN401
    stream = io.BytesIO()
    tifffile.imwrite(stream, PIXELS, photometric="rgb", **options)
    return stream.getvalue()


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize("options", [{}, {"tile": (16, 16)}, {"rowsperstrip": 1, "compression": "zlib"}])
def test_only_wanted_tags_are_left_and_the_pixels_are_whole(
    byteorder: Any,  # noqa: ANN401
    bigtiff: bool,
    options: dict[str, Any],
) -> None:
    data = tiff(byteorder=byteorder, bigtiff=bigtiff, description="a text", software="some", **options)
    bare = with_only(data, OF_PIXELS)
    with tifffile.TiffFile(io.BytesIO(bare)) as file:
        assert len(file.pages) == 1
        assert {tag.code for tag in file.pages.first.tags} <= set(OF_PIXELS)
        np.testing.assert_array_equal(file.pages.first.asarray(), PIXELS)


def test_an_odd_length_is_no_trouble() -> None:
    bare = with_only(tiff() + b"!", OF_PIXELS)
    np.testing.assert_array_equal(tifffile.imread(io.BytesIO(bare)), PIXELS)


def entry(tag: int, kind: int, count: int, value: int) -> bytes:
    return struct.pack("<HHII", tag, kind, count, value)


def file_of(entries: bytes, number: int, at: int = 8) -> bytes:
    return b"II*\0" + struct.pack("<IH", at, number) + entries + bytes(4)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"II*\0", "outside the file"),
        (b"II+\0\x08\0\0\0", "outside the file"),
        (file_of(b"", 0, at=1 << 31), "outside the file"),
        (file_of(b"", 0, at=0), "outside the file"),
        (file_of(entry(256, 3, 1, 64), 2), "outside the file"),
        (file_of(entry(256, 3, 1, 64), 65_535), f"has 65535 entries; at most {MAX_ENTRIES}"),
        (b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, 1 << 63), "entries; at most"),
        (file_of(entry(273, 4, 1 << 31, 8), 1), "tag 273 has 2147483648 values"),
        (file_of(entry(273, 4, MAX_VALUES, 8), 1), "tag 273 lies outside the file"),
        (file_of(entry(256, 99, 1, 64), 1), "tag 256 has 1 values of type 99"),
    ],
)
def test_claims_that_the_file_cannot_hold_are_refused_at_once(data: bytes, says: str) -> None:
    began_s = time.thread_time()
    with pytest.raises(CorruptChip, match=says):
        with_only(data, OF_PIXELS)
    assert time.thread_time() - began_s < 10


def test_other_tags_may_claim_anything() -> None:
    claims = b"".join(entry(tag, 12, 0xFFFF_FFFF, 0xFFFF_FFFF) for tag in (270, 33550, 50838))
    bare = with_only(file_of(entry(256, 3, 1, 64) + claims, 4), OF_PIXELS)
    with tifffile.TiffFile(io.BytesIO(bare)) as file:
        assert [tag.code for tag in file.pages.first.tags] == [256]


def test_of_a_tag_that_comes_twice_the_first_counts() -> None:
    bare = with_only(file_of(entry(256, 3, 1, 64) + entry(256, 3, 1, 9999), 2), OF_PIXELS)
    with tifffile.TiffFile(io.BytesIO(bare)) as file:
        assert [tag.value for tag in file.pages.first.tags] == [64]


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("bigtiff", [False, True])
def test_the_claimed_samples_are_read_without_reading_any(byteorder: Any, bigtiff: bool) -> None:  # noqa: ANN401
    data = tiff(byteorder=byteorder, bigtiff=bigtiff)
    assert claimed_samples(data) == PIXELS.size
    assert claimed_samples(data[:12]) == 0
    if not bigtiff:  # whose entries have no room for a number of 64 bits
        width, wider = (struct.pack(f"{byteorder}HH", 256, kind) for kind in (4, 16))
        assert claimed_samples(data.replace(width, wider)) == 0
