"""Bytes → a validated chip; the one decoder for training and serving.

Runs before any queue, so a bad chip never meets its neighbours. Does format, band and
size checks, brings every format to the bundle's bands, number type and nominal size.
Scaling for a network is not done here: that is inside the graph.

Shape suffixes: H height, W width, C bands.
"""

import io
from typing import NoReturn

import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image, UnidentifiedImageError

from service.bundle import InputSpec, Pixel
from service.errors import (
    ChipError,
    CorruptChip,
    EmptyChip,
    NotAnImage,
    TooManyPixels,
    WrongBands,
    WrongSize,
)
from service.jpeg import decode_rgb

MAX_SIDE_PX = 4096
MIN_SIDE_PX = 32
MIN_TILE_PX = 16  # the TIFF standard's own limit
# Of a progressive JPEG, which has about ten: in a dozen bytes, each passes over the whole picture.
MAX_SCANS = 100
_SCAN = b"\xff\xda\x00"  # how each begins; compressed data never looks like it
# Codes of TIFF compressions whose output the expected size bounds: none, LZW, deflate (two), PackBits,
# LZMA, ZSTD. A picture format inside a TIFF brings dimensions of its own, which nothing checks.
_BOUNDED_COMPRESSIONS = (1, 5, 8, 32946, 32773, 34925, 50000)

RGB = ("red", "green", "blue")
NEAR_INFRARED = "near infrared"
PLANET_BANDS = ("blue", "green", "red", NEAR_INFRARED)  # of a uint16 TIFF, in the file's order
RGBN = (*RGB, NEAR_INFRARED)  # of a uint8 TIFF

# Displayed grey level of a raw Planet value, per band: a rising piecewise line fitted by
# `benchmarks/planet_stretch.py` on the pairs of TIFF and JPEG chips whose pixels correlate as they
# lie. Moving all pairs into place first changes the mean error on left-out pairs by less than 2 %.
# Planet's own JPEGs are toned scene by scene, so this is the average scene's tone.
_STRETCH = {
    "red": (
        (1560, 1860, 2120, 2460, 3810, 4560, 5860, 18770),
        (13.1, 47.2, 56.1, 63.0, 128.6, 129.6, 170.2, 233.9),
    ),
    "green": (
        (2650, 2960, 3280, 3660, 4550, 6010, 7000, 15370),
        (32.0, 65.8, 65.8, 74.0, 121.0, 135.0, 159.0, 208.0),
    ),
    "blue": (
        (3330, 3640, 3980, 4510, 5150, 6950, 7980, 22250),
        (28.7, 49.0, 66.7, 66.7, 106.5, 127.9, 146.6, 226.1),
    ),
}
_GREY_OF_RAW = {
    band: np.interp(np.arange(1 << 16), raw, grey).round().astype(np.uint8)
    for band, (raw, grey) in _STRETCH.items()
}

# Pillow's own limit warns and then raises far above ours; ours is checked before any decoding.
Image.MAX_IMAGE_PIXELS = None


def decode_chip(data: bytes, spec: InputSpec) -> npt.NDArray[Pixel]:
    """Decode and validate one chip.

    Args:
        data: a whole JPEG, PNG or TIFF file.
        spec: the bundle's bands, number type and nominal size; other sizes are resized to it.
            Visible bands as uint8 are grey levels, which every format gives; a uint16 TIFF is
            toned. With uint16 they are Planet's raw values, and with near infrared there is no
            tone to give it: then only TIFF files that hold just that will do.

    Returns:
        (H,W,C) of the spec's dtype, C-contiguous.

    Raises:
        ChipError: says what is wrong with the bytes and what is accepted.
    """
    check_bands(spec)
    if not data:
        raise EmptyChip(f"the chip has no bytes; {accepted(spec)}")
    if data.startswith(b"\xff\xd8\xff"):
        if data.count(_SCAN) > MAX_SCANS:
            raise CorruptChip(f"the JPEG has more than {MAX_SCANS} scans; save it anew, as baseline")
        quick = (spec.bands, spec.dtype) == (RGB, "uint8")
        quickly_HWC = decode_rgb(data, spec.height, spec.width) if quick else None
        if quickly_HWC is not None:
            return quickly_HWC
    if data.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")):
        pixels_HWC, bands = _read_picture(data, spec)
    elif data.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        pixels_HWC, bands = _read_tiff(data, spec)
    else:
        raise NotAnImage(f"the bytes start with {data[:4].hex(' ')}, no known image; {accepted(spec)}")
    if bands != spec.bands:
        pixels_HWC = pixels_HWC[..., [bands.index(band) for band in spec.bands]]
    return np.ascontiguousarray(_resize(pixels_HWC, spec))


def picture(data: bytes, spec: InputSpec) -> npt.NDArray[np.uint8]:
    """Decode one chip for people to look at: uint8 RGB (H,W,3) at the spec's size, whatever its bands.

    Raises:
        ChipError: as `decode_chip`.
    """
    shown = spec.model_copy(update={"bands": RGB, "dtype": "uint8"})
    return decode_chip(data, shown).astype(np.uint8, copy=False)


def check_bands(spec: InputSpec) -> None:
    """Refuse bands that no file gives.

    Raises:
        ValueError: names them.
    """
    unknown = [band for band in spec.bands if band not in PLANET_BANDS]
    if unknown:
        raise ValueError(
            f"there is no band {', '.join(unknown)}; this version decodes {', '.join(PLANET_BANDS)}"
        )


def accepted(spec: InputSpec) -> str:
    """Say which files a bundle takes, for an error's end."""
    match _tiff_kinds(spec):
        case ((4, "uint16"),):
            return f"this bundle needs four-band uint16 TIFF chips (Planet {', '.join(PLANET_BANDS)})"
        case ((4, "uint8"),):
            return f"this bundle needs four-band uint8 TIFF chips ({', '.join(RGBN)})"
        case _:
            return (
                "accepted are JPEG and PNG (RGB) and TIFF (uint8 RGB or uint16 Planet "
                f"{', '.join(PLANET_BANDS)})"
            )


def _tiff_kinds(spec: InputSpec) -> tuple[tuple[int, str], ...]:
    """Return the TIFFs that hold what the bundle wants, as (bands, number type)."""
    if spec.dtype == "uint16":
        return ((4, "uint16"),)
    if NEAR_INFRARED in spec.bands:
        return ((4, "uint8"),)
    return ((3, "uint8"), (4, "uint8"), (4, "uint16"))


def _read_picture(data: bytes, spec: InputSpec) -> tuple[npt.NDArray[Pixel], tuple[str, ...]]:
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG", "PNG")) as image:
            _check_size(*image.size)
            if (3, "uint8") not in _tiff_kinds(spec):
                raise WrongBands(f"the {image.format} holds 8-bit RGB; {accepted(spec)}")
            # Real Planet JPEGs carry four components without a marker: Pillow calls them CMYK
            # and its conversion gives the right picture; their first three bands are inverted.
            if image.mode not in ("RGB", "RGBA", "P", "CMYK"):
                raise WrongBands(f"the image has mode {image.mode}; {accepted(spec)}")
            return np.asarray(image.convert("RGB")), RGB
    except UnidentifiedImageError as error:
        raise CorruptChip("the image's header is broken; send the whole file") from error
    except (OSError, SyntaxError, ValueError) as error:
        _corrupt(error)


def _read_tiff(data: bytes, spec: InputSpec) -> tuple[npt.NDArray[Pixel], tuple[str, ...]]:
    # Pillow would silently cut uint16 bands to their high byte; tifffile keeps them.
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            page = file.pages.first
            _check_size(page.imagewidth, page.imagelength)
            bands, dtype, layers = page.samplesperpixel, str(page.dtype), page.imagedepth
            if layers != 1 or (bands, dtype) not in _tiff_kinds(spec):
                raise WrongBands(
                    f"the TIFF has {layers} layer(s) of {bands} band(s) of {dtype}; {accepted(spec)}"
                )
            _check_segments(page, spec)
            pixels = page.asarray()
    except ChipError:
        raise
    except Exception as error:  # a hostile TIFF makes the parser raise nearly anything
        _corrupt(error)
    if page.axes.startswith("S"):
        pixels = np.moveaxis(pixels, 0, -1)
    if dtype == "uint8":
        return pixels, RGBN[:bands]
    if spec.dtype == "uint16":
        return pixels.astype(np.uint16, copy=False), PLANET_BANDS
    return np.stack([_GREY_OF_RAW[b][pixels[..., PLANET_BANDS.index(b)]] for b in RGB], axis=-1), RGB


def _resize(pixels_HWC: npt.NDArray[Pixel], spec: InputSpec) -> npt.NDArray[Pixel]:
    size = (spec.width, spec.height)
    if pixels_HWC.shape[:2] == size[::-1]:
        return pixels_HWC
    if (spec.dtype, len(spec.bands)) == ("uint8", 3):
        return np.asarray(Image.fromarray(pixels_HWC).resize(size, Image.Resampling.BILINEAR))
    # Band by band as floats: Pillow has no picture of several uint16 bands, and takes a fourth
    # band of uint8 for an opacity that it weights the others with.
    bands = [Image.fromarray(band_HW) for band_HW in np.moveaxis(pixels_HWC, -1, 0).astype(np.float32)]
    resized = [np.asarray(band.resize(size, Image.Resampling.BILINEAR)) for band in bands]
    return np.stack(resized, axis=-1).round().astype(spec.dtype)


def _check_segments(page: tifffile.TiffPage, spec: InputSpec) -> None:
    """Refuse, before decoding, what could unpack to far more than the image's own pixels."""
    if page.compression not in _BOUNDED_COMPRESSIONS:
        raise NotAnImage(
            f"the TIFF is compressed with {tifffile.COMPRESSION(page.compression).name}; accepted are none, "
            "LZW, deflate, PackBits, LZMA and ZSTD, or JPEG and PNG as files of their own"
        )
    if page.is_tiled:
        sides_px = (page.tilewidth, page.tilelength)
        if min(sides_px) < MIN_TILE_PX or max(sides_px) > MAX_SIDE_PX:
            raise CorruptChip(
                f"the TIFF's tiles are {sides_px[0]}×{sides_px[1]} px; sides of {MIN_TILE_PX} to "
                f"{MAX_SIDE_PX} px are accepted"
            )
    # Bands beyond the visible ones are no colours, and are marked as grey by some writers.
    visible = page.dtype == "uint8" and NEAR_INFRARED not in spec.bands
    if page.photometric not in ((2,) if visible else (1, 2)):
        raise WrongBands(
            f"the TIFF's colours are {tifffile.PHOTOMETRIC(page.photometric).name}; {accepted(spec)}"
        )


def _check_size(width_px: int, height_px: int) -> None:
    found = f"the image is {width_px}×{height_px} px"
    if max(width_px, height_px) > MAX_SIDE_PX:
        raise TooManyPixels(f"{found}; at most {MAX_SIDE_PX}×{MAX_SIDE_PX} is accepted: cut it into chips")
    if min(width_px, height_px) < MIN_SIDE_PX:
        raise WrongSize(f"{found}; at least {MIN_SIDE_PX}×{MIN_SIDE_PX} is needed")


def _corrupt(error: Exception) -> NoReturn:
    raise CorruptChip(f"the image is truncated or corrupt ({error}); send the whole file") from error
