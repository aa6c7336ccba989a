"""TIFFs as the reader process reads them; what a chip's bands become: test_chips.py."""

import io
import struct
from typing import Any

import numpy as np
import pytest
import tifffile

from service.contract.chips.tiff import read_tiff
from service.contract.errors import ChipError, CorruptChip, TooManyPixels
from service.contract.manifest import InputSpec
from tests.kit.fakes import Array

SPEC = InputSpec(bands=("red", "green", "blue"), height=64, width=64)
PIXELS = np.random.default_rng(0).integers(0, 40, (64, 64, 3), np.uint8)


def tiff(pixels: Array = PIXELS, **options: Any) -> bytes:  # noqa: ANN401
    stream = io.BytesIO()
    tifffile.imwrite(stream, pixels, **{"photometric": "rgb", "byteorder": "<"} | options)
    return stream.getvalue()


def with_tag(data: bytes, tag: int, value: int) -> bytes:
    """The file with another value of a tag that has one."""
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        found = file.pages.first.tags[tag]
    kind = "<HHIH" if found.dtype == 3 else "<HHII"
    entry = struct.pack(kind, tag, found.dtype, 1, value)
    return data[: found.offset] + entry + data[found.offset + len(entry) :]


def overlapping() -> bytes:
    """A file of 64 strips of 1,000 bytes, each a byte behind the one before."""
    data = bytearray(tiff(rowsperstrip=1, compression="lzw"))
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as file:
        tags, first = file.pages.first.tags, file.pages.first.dataoffsets[0]
    for tag, values in ((tags[273], range(first, first + 64)), (tags[279], [1000] * 64)):
        packed = struct.pack(f"<64{'H' if tag.dtype == 3 else 'I'}", *values)
        data[tag.valueoffset : tag.valueoffset + len(packed)] = packed
    return bytes(data)


COMPRESSIONS = [None, "lzw", "zlib", "deflate", "packbits", "lzma", "zstd"]


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("options", [{}, {"tile": (16, 32)}, {"rowsperstrip": 7}, {"byteorder": ">"}])
@pytest.mark.parametrize("predictor", [False, True])
def test_every_compression_is_read(compression: str | None, options: dict[str, Any], predictor: bool) -> None:
    data = tiff(compression=compression, predictor=predictor and compression is not None, **options)
    pixels_HWC, bands = read_tiff(data, SPEC)
    assert bands == ("red", "green", "blue")
    np.testing.assert_array_equal(pixels_HWC, PIXELS)


@pytest.mark.parametrize("side_px", [16, 48, 512])
def test_tiles_may_go_beyond_the_image(side_px: int) -> None:
    pixels_HWC, _ = read_tiff(tiff(PIXELS[:40, :40].copy(), tile=(side_px, 512)), SPEC)
    np.testing.assert_array_equal(pixels_HWC, PIXELS[:40, :40])


def test_equal_strips_may_be_stored_once() -> None:
    row = tiff(np.tile(PIXELS[:1], (64, 1, 1)), rowsperstrip=1)
    with tifffile.TiffFile(io.BytesIO(row)) as file:
        starts = file.pages.first.tags[273]
    once = bytearray(row)
    once[starts.valueoffset : starts.valueoffset + 256] = row[starts.valueoffset :][:4] * 64
    pixels_HWC, _ = read_tiff(bytes(once), SPEC)
    np.testing.assert_array_equal(pixels_HWC, np.tile(PIXELS[:1], (64, 1, 1)))


LZW = tiff(compression="lzw")


def test_a_stream_that_ends_the_decoder_is_refused_before() -> None:
    with tifffile.TiffFile(io.BytesIO(LZW)) as file:
        at = file.pages.first.dataoffsets[0]
    with pytest.raises(CorruptChip, match="LZW data has a code that means nothing yet"):
        read_tiff(LZW[:at] + bytes.fromhex("80492050") + LZW[at + 4 :], SPEC)


@pytest.mark.parametrize(
    ("data", "error", "says"),
    [
        (with_tag(tiff(), 256, 65_500), TooManyPixels, "65500×64"),
        (with_tag(tiff(rowsperstrip=64), 278, 1), CorruptChip, "lacks some of its 64 strips"),
        (with_tag(tiff(tile=(64, 64)), 323, 16), CorruptChip, "lacks some of its 4 tiles"),
        (with_tag(tiff(), 279, 1 << 24), CorruptChip, "far more data than pixels"),
        (with_tag(tiff(), 279, 70_000), CorruptChip, "cut short: strips lie outside"),
        (with_tag(tiff(), 273, 1 << 24), CorruptChip, "cut short: strips lie outside"),
        (overlapping(), CorruptChip, "strips lie over each other"),
        (tiff(compression="zlib")[:-2], CorruptChip, "outside the file|cut short"),
    ],
)
def test_claims_are_judged_before_anything_is_decoded(data: bytes, error: type[ChipError], says: str) -> None:
    with pytest.raises(error, match=says):
        read_tiff(data, SPEC)


def test_pixels_are_never_what_memory_held_before() -> None:
    short = with_tag(tiff(compression="zlib", rowsperstrip=64), 279, 40)
    with pytest.raises(CorruptChip):
        read_tiff(short, SPEC)


def test_a_bomb_in_a_strip_is_not_unpacked() -> None:
    import zlib

    with tifffile.TiffFile(io.BytesIO(tiff(compression="zlib"))) as file:
        tags = file.pages.first.tags
        places = {code: tags[code].offset for code in (273, 279)}
    bomb = zlib.compress(bytes(1 << 26), 9)
    data = (
        with_tag(with_tag(tiff(compression="zlib"), 273, len(tiff(compression="zlib"))), 279, len(bomb))
        + bomb
    )
    assert places
    with pytest.raises(ChipError):
        read_tiff(data, SPEC)


def test_short_memory_is_not_the_files_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:  # noqa: ANN401
        raise RuntimeError("lzma_stream_decoder returned LZMA_MEM_ERROR")

    monkeypatch.setattr(tifffile.TiffPage, "asarray", fail)
    with pytest.raises(MemoryError):
        read_tiff(tiff(), SPEC)


SHOWN_HW = np.random.default_rng(1).integers(0, 2, (64, 64)).astype(np.bool_)
MASKED = SPEC.model_copy(update={"nodata": 77.0})


def with_pages(*pages: tuple[Array, int], **options: Any) -> bytes:  # noqa: ANN401
    """A file of the usual pixels, and of other pictures of some kinds."""
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream, byteorder="<", **options) as file:
        file.write(PIXELS, photometric="rgb", metadata=None)
        for picture, kind in pages:
            file.write(picture, subfiletype=kind, photometric="minisblack", compression="zlib", metadata=None)
    return stream.getvalue()


SMALLER = (np.zeros((16, 16), np.bool_), 5)
COPY = (PIXELS[:16, :16, 0].copy(), 1)


@pytest.mark.parametrize("between", [[], [COPY, SMALLER], [SMALLER] * 14])
@pytest.mark.parametrize("bigtiff", [False, True])
def test_a_mask_becomes_nodata_where_the_bundle_has_it(between: list[Any], bigtiff: bool) -> None:
    data = with_pages(*between, (SHOWN_HW, 4), bigtiff=bigtiff)
    np.testing.assert_array_equal(read_tiff(data, MASKED)[0], np.where(SHOWN_HW[..., None], PIXELS, 77))
    np.testing.assert_array_equal(read_tiff(data, SPEC)[0], PIXELS)


@pytest.mark.parametrize("other", [COPY, SMALLER, (SHOWN_HW[:32], 4), (SHOWN_HW, 0)])
def test_other_pictures_are_no_masks(other: tuple[Array, int]) -> None:
    np.testing.assert_array_equal(read_tiff(with_pages(other), MASKED)[0], PIXELS)


def test_pictures_without_end_cost_nothing() -> None:
    """The second directory says that it comes after itself."""
    data = bytearray(with_pages(COPY))
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as file:
        first, second = (page.offset for page in file.pages)
    (entries,) = struct.unpack_from("<H", data, second)
    struct.pack_into("<I", data, second + 2 + 12 * entries, second)
    assert first != second
    np.testing.assert_array_equal(read_tiff(bytes(data), MASKED)[0], PIXELS)


def test_a_mask_that_is_cut_off_is_refused() -> None:
    data = with_pages((SHOWN_HW, 4))
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        second = file.pages[1].offset
    for end in (second, second + 40):
        with pytest.raises(CorruptChip, match="outside the file"):
            read_tiff(data[:end], MASKED)


@pytest.mark.parametrize("nodata", ["3", "3.0", "none", "1e999", "-9999"])
def test_a_files_own_nodata_becomes_the_bundles(nodata: str) -> None:
    data = tiff(extratags=[(42113, 2, 0, nodata, True)])
    expected = np.where(PIXELS == 3, 77, PIXELS) if nodata.startswith("3") else PIXELS
    np.testing.assert_array_equal(read_tiff(data, MASKED)[0], expected)


@pytest.mark.parametrize(
    ("pixels", "options"),
    [
        (np.moveaxis(PIXELS, -1, 0).copy(), {"planarconfig": "separate"}),
        (PIXELS[..., 0], {"photometric": "minisblack"}),
    ],
)
def test_ycbcr_that_would_be_taken_for_rgb_is_refused(pixels: Array, options: dict[str, Any]) -> None:
    with pytest.raises(ChipError, match="YCbCr, read from JPEG of three components alone"):
        read_tiff(with_tag(tiff(pixels, compression="jpeg", **options), 262, 6), SPEC)


@pytest.mark.parametrize("opacity", [0xFFFF, 0xFFF, 0xFF])
def test_an_opacity_in_a_file_like_the_contests_is_refused(opacity: int) -> None:
    """Colours of 16 bits with an associated opacity call themselves as the contest's chips do."""
    colours_HWC = np.random.default_rng(0).integers(4000, 9000, (64, 64, 4), np.uint16)
    contest = tiff(colours_HWC, extrasamples=["assocalpha"])
    assert read_tiff(contest, SPEC)[1] == ("blue", "green", "red")
    colours_HWC[:40, :, 3] = opacity
    with pytest.raises(ChipError, match="one of them an opacity: colours of 16 bits"):
        read_tiff(tiff(colours_HWC, extrasamples=["assocalpha"]), SPEC)
