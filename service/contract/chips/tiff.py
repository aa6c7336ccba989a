"""TIFF bytes → pixels, by tifffile and the native decoders that it calls.

Meant to run in a process of its own (`readers`): most of those decoders were never proven against
hostile bytes. All that can be judged beforehand is, so that a file takes memory and time in
proportion to its own size and that of its picture.

Shape suffixes: H height, W width, C bands.
"""

import io
from math import prod

import numpy as np
import numpy.typing as npt
import tifffile

from service.contract.chips.bands import (
    MAX_SIDE_PX,
    NEAR_INFRARED,
    PLANET_BANDS,
    RGB,
    RGBN,
    accepted,
    check_size,
    tiff_kinds,
)
from service.contract.chips.lzw import check_lzw
from service.contract.chips.tiff_directory import with_only
from service.contract.chips.tone import toned
from service.contract.errors import ChipError, CorruptChip, NotAnImage, WrongBands, is_shortage
from service.contract.manifest import InputSpec, Pixel

MIN_TILE_PX = 16  # the TIFF standard's own limit
_LZW = 5
# Codes of TIFF compressions whose output the expected size bounds: none, LZW, deflate (two),
# PackBits, LZMA, ZSTD. A picture format inside a TIFF has its own dimensions, which nothing checks.
_BOUNDED_COMPRESSIONS = (1, _LZW, 8, 32946, 32773, 34925, 50000)
# What pixels are read by: the kind of image, sides, bits, compression, colours, strips, bands,
# predictor, tiles, number type, depth, and GDAL's value of what is left out.
_TAGS = (254, 256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 317, *range(322, 326), 338, 339)
_GDAL_TAGS = (32997, 32998, 42113)
# (H,W,C) and the names of its bands
Pixels = tuple[npt.NDArray[Pixel], tuple[str, ...]]
_SLACK = 1 << 16  # bytes; what packing may add to tiny pictures


def read_tiff(data: bytes, spec: InputSpec) -> Pixels:
    """Decode a TIFF's first image.

    Returns:
        Pixels (H,W,C) and the names of their bands: what a bundle of this spec needs is among them.

    Raises:
        ChipError: says what is wrong with the bytes and what is accepted.
        MemoryError: there is too little.
    """
    # Pillow would silently cut uint16 bands to their high byte; tifffile keeps them.
    try:
        with tifffile.TiffFile(io.BytesIO(with_only(data, (*_TAGS, *_GDAL_TAGS)))) as file:
            page = file.pages.first
            _check(page, data, spec)
            pixels = page.asarray(maxworkers=1)
    except (ChipError, MemoryError):
        raise
    except Exception as error:  # a hostile TIFF makes the parser raise nearly anything
        if is_shortage(error):
            raise MemoryError from error
        raise CorruptChip(f"the image is truncated or corrupt ({error}); send the whole file") from error
    bands, dtype = page.samplesperpixel, str(page.dtype)
    if page.axes.startswith("S"):
        pixels = np.moveaxis(pixels, 0, -1)
    if dtype == "uint8":
        return pixels, RGBN[:bands]
    if spec.dtype == "uint16":
        return pixels.astype(np.uint16, copy=False), PLANET_BANDS
    return toned(pixels), RGB


def _check(page: tifffile.TiffPage, data: bytes, spec: InputSpec) -> None:
    """Refuse, before decoding, what is no chip or could unpack to far more than its pixels."""
    check_size(page.imagewidth, page.imagelength)
    bands, dtype, layers = page.samplesperpixel, str(page.dtype), page.imagedepth
    if layers != 1 or (bands, dtype) not in tiff_kinds(spec):
        raise WrongBands(f"the TIFF has {layers} layer(s) of {bands} band(s) of {dtype}; {accepted(spec)}")
    if page.compression not in _BOUNDED_COMPRESSIONS:
        raise NotAnImage(
            f"the TIFF is compressed with {tifffile.COMPRESSION(page.compression).name}; accepted are none, "
            "LZW, deflate, PackBits, LZMA and ZSTD, or JPEG and PNG as files of their own"
        )
    # Bands beyond the visible ones are no colours, and are marked as grey by some writers.
    visible = page.dtype == "uint8" and NEAR_INFRARED not in spec.bands
    if page.photometric not in ((2,) if visible else (1, 2)):
        raise WrongBands(
            f"the TIFF's colours are {tifffile.PHOTOMETRIC(page.photometric).name}; {accepted(spec)}"
        )
    if page.fillorder != 1:
        raise CorruptChip("the TIFF's bits are in reverse order (FillOrder 2); save it anew")
    _check_segments(page, data)


def _check_segments(page: tifffile.TiffPage, data: bytes) -> None:
    if page.is_tiled:
        sides_px = (page.tilewidth, page.tilelength)
        if min(sides_px) < MIN_TILE_PX or max(sides_px) > MAX_SIDE_PX:
            raise CorruptChip(
                f"the TIFF's tiles are {sides_px[0]}×{sides_px[1]} px; sides of {MIN_TILE_PX} to "
                f"{MAX_SIDE_PX} px are accepted"
            )
    kind, needed = "tiles" if page.is_tiled else "strips", prod(page.chunked)
    places, sizes = page.dataoffsets, page.databytecounts
    # Fewer would leave pixels as memory happened to be.
    if not needed <= min(len(places), len(sizes)):
        raise CorruptChip(f"the TIFF lacks some of its {needed} {kind}; send the whole file")
    unpacked = needed * prod(page.chunks) * np.dtype(page.dtype).itemsize  # tiles may go beyond the image
    if sum(sizes[:needed]) > 2 * unpacked + _SLACK + 1024 * needed:
        raise CorruptChip(f"the TIFF's {kind} hold far more data than pixels; save it anew")
    segments = set(zip(places[:needed], sizes[:needed], strict=True))  # some writers store equal ones once
    if any(place + size > len(data) for place, size in segments):
        raise CorruptChip(f"the TIFF is cut short: {kind} lie outside the file; send the whole file")
    if sum(size for _, size in segments) > len(data):
        raise CorruptChip(f"the TIFF's {kind} lie over each other; save it anew")
    if page.compression == _LZW:
        for place, size in segments:
            check_lzw(data[place : place + size])
