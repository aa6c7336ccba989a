"""TIFF bytes → pixels and the names of their bands, by tifffile and the native decoders it calls.

Meant to run in a process of its own (`readers`): most of those decoders were never proven against
hostile bytes. All that can be judged beforehand is, so that a file takes memory and time in
proportion to its own size and that of its picture.

Shape suffixes: H height, W width, C bands.
"""

import io
from collections.abc import Callable
from contextlib import suppress
from math import prod
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
import tifffile

from service.contract.chips import jpeg, jpeg2000
from service.contract.chips.arrangement import OPACITY, Samples, arranged, check_infrared
from service.contract.chips.bands import (
    MAX_BANDS,
    MAX_SIDE_PX,
    RGB,
    accepted,
    check_grey,
    check_size,
    takes_pictures,
)
from service.contract.chips.lzw import check_lzw
from service.contract.chips.tiff_directory import with_only
from service.contract.errors import ChipError, CorruptChip, NotAnImage, WrongBands, corrupt, is_shortage
from service.contract.manifest import InputSpec, Pixel

MIN_TILE_PX = 16  # the TIFF standard's own limit
_LZW, _JPEG, _JPEG_2000, _LERC = 5, 7, 34712, 34887
# Codes of TIFF compressions whose output the expected size bounds: none, LZW, deflate (two),
# PackBits, LZMA, ZSTD.
_BOUNDED_COMPRESSIONS = (1, _LZW, 8, 32946, 32773, 34925, 50000)
# Picture formats inside a TIFF have sides of their own. Those of JPEG and JPEG 2000 are compared;
# the others (LERC, WebP) are left to the limits of the process.
_INNER_FORMATS = (_JPEG, _JPEG_2000, _LERC, 50001)
_GREY, _PALETTE, _YCBCR = 1, 3, 6
_CONTIGUOUS = 1  # of planar configurations: a pixel's samples together
_OTHER_COLOURS = {0: "grey with white as 0", 4: "a mask", 5: "CMYK (SEPARATED)", 8: "CIELAB"}
# What pixels are read by: the kind of image, sides, bits, compression, colours, strips, bands,
# predictor, palette, tiles, number type, depth, tables of JPEG, the sampling of its colours, and
# GDAL's words for the bands and value of what is left out.
_TAGS = (
    *(254, 256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 317, 320, *range(322, 326), 338, 339),
    *(347, 530, 531, 532),
)
_DESCRIBED, _LEFT_OUT = 42112, 42113
_GDAL_TAGS = (32997, 32998, _DESCRIBED, _LEFT_OUT, 50674)
# (H,W,C) and the names of its bands
Pixels = tuple[npt.NDArray[Pixel], tuple[str, ...]]
_SLACK = 1 << 16  # bytes; what packing may add to tiny pictures


def read_tiff(data: bytes, spec: InputSpec) -> Pixels:
    """Decode a TIFF's first image.

    Returns:
        Pixels (H,W,C) as they are in the file, and the names of their bands: what a bundle of this
        spec needs is among them, or can be toned from them.

    Raises:
        ChipError: says what is wrong with the bytes and what is accepted.
        MemoryError: there is too little.
    """
    # Pillow would silently cut uint16 bands to their high byte; tifffile keeps them.
    tags = (*_TAGS, *_GDAL_TAGS)
    try:
        with tifffile.TiffFile(io.BytesIO(with_only(data, tags, mask=spec.nodata is not None))) as file:
            page = file.pages.first
            names, palette = _checked(page, data, spec), page.photometric == _PALETTE
            described, samples_HWC = _described(page), _samples(page)
            check_infrared(described, samples_HWC, spec)
            pixels_HWC = _painted(page, samples_HWC) if palette else samples_HWC
            # What is toned later has no such value yet.
            if spec.nodata is not None and page.dtype == spec.dtype:
                blank_HWC = _blank(file, data, names, samples_HWC)
                np.copyto(pixels_HWC, pixels_HWC.dtype.type(spec.nodata), where=blank_HWC)
    except (ChipError, MemoryError):
        raise
    except Exception as error:  # a hostile TIFF makes the parser raise nearly anything
        if is_shortage(error):
            raise MemoryError from error
        raise corrupt(error) from error
    if len(names) > pixels_HWC.shape[2]:
        pixels_HWC = np.repeat(pixels_HWC, len(names), axis=2)  # grey, the same for every colour
    # No more goes on than the bundle asks for: a file may have dozens of bands.
    wanted = {*spec.bands, *(RGB if takes_pictures(spec) else ())}
    kept = [place for place, name in enumerate(names) if name in wanted]
    return pixels_HWC[..., kept], tuple(names[place] for place in kept)


def _samples(page: tifffile.TiffPage) -> npt.NDArray[Pixel]:
    """Return what a page holds (H,W,C), in this machine's byte order."""
    if page.compression == _JPEG and page.photometric != _YCBCR:
        # Components are what they are; without these words tifffile's decoder would take some for
        # YCbCr, and planes for colours.
        three = (page.planarconfig, page.samplesperpixel) == (_CONTIGUOUS, 3)
        page.photometric = tifffile.PHOTOMETRIC.RGB if three else tifffile.PHOTOMETRIC.MINISBLACK
        page.extrasamples = ()
    if page.compression == _LERC:
        page.decode = _lerc_decoder(page.decode)
    pixels = page.asarray(maxworkers=1)
    if page.axes.startswith("S"):
        pixels = np.moveaxis(pixels, 0, -1)
    pixels_HWC = pixels.reshape(page.imagelength, page.imagewidth, -1)
    if pixels_HWC.shape[2] != page.samplesperpixel:
        raise CorruptChip("the TIFF holds other bands than it says; save it anew")
    return pixels_HWC.astype(pixels_HWC.dtype.newbyteorder("="), copy=False)


def _lerc_decoder(decode: Callable[..., Any]) -> Callable[..., Any]:
    """Return a decoder of strips or tiles as tifffile's, that heeds what LERC itself leaves out."""

    def decoded(data: bytes | None, index: int, **options: Any) -> tuple[Any, Any, tuple[int, ...]]:  # noqa: ANN401
        _, place, shape = decode(None, index, **options)
        return None if data is None else _from_lerc(data, shape), place, shape

    return decoded


def _from_lerc(data: bytes, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """Decode LERC as libtiff writes it: NaN and an opacity of two values are in masks."""
    values_HWC, shown_HWC = imagecodecs.lerc_decode(data, masks=True)
    if shown_HWC is None:
        shown_HWC = np.ones(shape[1:3], np.bool_)
    if shown_HWC.ndim == 3:  # a mask for each band, and then the bands lie one after the other
        values_HWC, shown_HWC = np.moveaxis(values_HWC, 0, -1), np.moveaxis(shown_HWC, 0, -1)
    if values_HWC.shape[:2] != shape[1:3]:
        raise CorruptChip("the TIFF's LERC data has other sides than it says; save it anew")
    values_HWC, shown_HWC = (array.reshape(*shape[1:3], -1) for array in (values_HWC, shown_HWC))
    if values_HWC.dtype.kind == "f":
        values_HWC = np.where(shown_HWC, values_HWC, values_HWC.dtype.type(np.nan))
    elif values_HWC.shape[-1] == shape[-1] - 1:
        opacity_HWC = np.where(shown_HWC, np.iinfo(values_HWC.dtype).max, 0).astype(values_HWC.dtype)
        values_HWC = np.concatenate([values_HWC, opacity_HWC], axis=-1)
    return values_HWC.reshape(shape)


def _blank(
    file: tifffile.TiffFile, data: bytes, names: tuple[str, ...], samples_HWC: npt.NDArray[Pixel]
) -> npt.NDArray[np.bool_]:
    """Tell what the file leaves out (H,W,C or 1); the first word of it counts, as for GDAL."""
    for mask in file.pages[1:]:
        assert isinstance(mask, tifffile.TiffPage)
        if mask.samplesperpixel != 1:
            raise CorruptChip(f"the TIFF's mask has {mask.samplesperpixel} samples; save it anew")
        _check_form(mask, data)
        return np.asarray(_samples(mask) == 0)
    if declared := file.pages.first.tags.get(_LEFT_OUT):
        with suppress(ValueError):  # a text that is no number
            return np.asarray(samples_HWC == float(declared.value))
    if OPACITY in names:
        return np.asarray(samples_HWC[..., [names.index(OPACITY)]] == 0)
    return np.zeros((1, 1, 1), np.bool_)


def _painted(page: tifffile.TiffPage, indices_HWC: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Return the colours (H,W,3) of a palette's indices (H,W,1)."""
    stored = np.asarray(page.colormap, np.uint16)
    if stored.shape != (3, 256):
        raise CorruptChip("the TIFF's palette is none; save it anew")
    # Of 16 bits, but some writers leave 8 bits as they are, or shift them.
    scale = 1 if stored.max() < 256 else 257 if (stored % 256).any() else 256
    palette = (stored // scale).astype(np.uint8)
    return np.ascontiguousarray(palette.T[indices_HWC[..., 0]])


def _checked(page: tifffile.TiffPage, data: bytes, spec: InputSpec) -> tuple[str, ...]:
    """Refuse, before decoding, what is no chip or could unpack to far more than its pixels.

    Returns:
        The bands' names.
    """
    check_size(page.imagewidth, page.imagelength, 1)
    count, colours = page.samplesperpixel, int(page.photometric)
    if count > MAX_BANDS:
        raise WrongBands(f"the TIFF has {count} bands; at most {MAX_BANDS} are read; {accepted(spec)}")
    if colours in _OTHER_COLOURS:
        raise WrongBands(f"the TIFF's colours are {_OTHER_COLOURS[colours]}; {accepted(spec)}")
    if colours == _YCBCR and (page.compression, page.planarconfig, count) != (_JPEG, _CONTIGUOUS, 3):
        raise WrongBands(
            f"the TIFF's colours are YCbCr, read from JPEG of three components alone; {accepted(spec)}"
        )
    if page.dtype is None or page.bitspersample != 8 * page.dtype.itemsize:
        raise WrongBands(
            f"the TIFF has {page.bitspersample} bits a sample; 8 or 16 are read: write it anew, scaled to "
            f"0…255 (gdal_translate -ot Byte -scale); {accepted(spec)}"
        )
    if colours == _PALETTE and not (takes_pictures(spec) and count == 1 and page.dtype == np.uint8):
        raise WrongBands(f"the TIFF is a picture of {count} band(s) with a palette; {accepted(spec)}")
    _check_form(page, data)
    if colours == _PALETTE:
        return RGB
    if colours == _GREY and count == 1 and page.dtype == np.uint8 and takes_pictures(spec):
        check_grey("TIFF", spec)
        return RGB
    return arranged(_described(page), spec)


def _check_form(page: tifffile.TiffPage, data: bytes) -> None:
    if page.imagedepth != 1:
        raise WrongBands(f"the TIFF has {page.imagedepth} layer(s); one is read")
    if page.compression not in _BOUNDED_COMPRESSIONS + _INNER_FORMATS:
        raise NotAnImage(
            f"the TIFF is compressed with {tifffile.COMPRESSION(page.compression).name}; accepted are none, "
            "LZW, deflate, PackBits, LZMA, ZSTD, JPEG, JPEG 2000, LERC and WebP"
        )
    if page.compression == _LERC and page.parent.byteorder == ">" and page.bitspersample > 8:
        # libtiff stores numbers with their bytes reversed, as other numbers, exactly or nearly.
        raise NotAnImage(
            "the TIFF holds LERC in big-endian order, whose values cannot be trusted; save it as "
            "little-endian (gdal_translate -co ENDIANNESS=LITTLE)"
        )
    if page.fillorder != 1:
        raise CorruptChip("the TIFF's bits are in reverse order (FillOrder 2); save it anew")
    _check_segments(page, data)


def _described(page: tifffile.TiffPage) -> Samples:
    tag = page.tags.get(_DESCRIBED)
    extra = [int(kind) for kind in page.extrasamples]
    metadata = str(tag.value) if tag else ""
    return Samples(page.samplesperpixel, str(page.dtype), int(page.photometric), extra, metadata)


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
    for place, size in segments:
        if page.compression == _LZW:
            check_lzw(data[place : place + size])
        if page.compression in (_JPEG, _JPEG_2000):
            read = jpeg.read_header if page.compression == _JPEG else jpeg2000.read_header
            header = read(data[place : place + size])
            larger = header.height > page.chunks[0] or header.width > page.chunks[1]
            if larger or header.components > page.samplesperpixel:
                raise CorruptChip(f"the TIFF's {kind} hold larger pictures than it says; save it anew")
