"""Bytes → a validated chip; the one decoder for training and serving.

Runs before any queue, so a bad chip never meets its neighbours. Does format, band and
size checks, brings every format to the bundle's bands as uint8 and to its nominal size.
Scaling for a network is not done here: that is inside the graph.

Shape suffixes: H height, W width, C bands.
"""

import io
from typing import NoReturn

import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image, UnidentifiedImageError

from service.bundle import InputSpec
from service.errors import (
    ChipError,
    CorruptChip,
    EmptyChip,
    NotAnImage,
    TooManyPixels,
    WrongBands,
    WrongSize,
)

MAX_SIDE_PX = 4096
MIN_SIDE_PX = 32
MIN_TILE_PX = 16  # the TIFF standard's own limit
# Codes of TIFF compressions whose output the expected size bounds: none, LZW, deflate (two), PackBits,
# LZMA, ZSTD. A picture format inside a TIFF brings dimensions of its own, which nothing checks.
_BOUNDED_COMPRESSIONS = (1, 5, 8, 32946, 32773, 34925, 50000)
ACCEPTED = (
    "accepted are JPEG and PNG (RGB) and TIFF (uint8 RGB or uint16 Planet blue, green, red, near infrared)"
)

RGB = ("red", "green", "blue")
PLANET_BANDS = ("blue", "green", "red", "near infrared")

# Displayed grey level of a raw Planet value, per band: a rising piecewise line fitted by
# `benchmarks/planet_stretch.py` on the pairs of TIFF and JPEG chips that show the same ground.
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


def decode_chip(data: bytes, spec: InputSpec) -> npt.NDArray[np.uint8]:
    """Decode and validate one chip.

    Args:
        data: a whole JPEG, PNG or TIFF file.
        spec: the bundle's bands and nominal size; other sizes are resized to it.

    Returns:
        uint8 (H,W,C), C-contiguous.

    Raises:
        ChipError: says what is wrong with the bytes and what is accepted.
    """
    if spec.bands != RGB:
        raise ValueError(f"bundle wants bands {spec.bands}; this version decodes {RGB} only")
    if not data:
        raise EmptyChip(f"the chip has no bytes; {ACCEPTED}")
    if data.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")):
        image = _read_picture(data)
    elif data.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        image = Image.fromarray(_read_tiff(data))
    else:
        raise NotAnImage(f"the bytes start with {data[:4].hex(' ')}, no known image; {ACCEPTED}")
    if image.size != (spec.width, spec.height):
        image = image.resize((spec.width, spec.height), Image.Resampling.BILINEAR)
    return np.asarray(image)


def _read_picture(data: bytes) -> Image.Image:
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG", "PNG")) as image:
            _check_size(*image.size)
            # Real Planet JPEGs carry four components without a marker: Pillow calls them CMYK
            # and its conversion gives the right picture; their first three bands are inverted.
            if image.mode not in ("RGB", "RGBA", "P", "CMYK"):
                raise WrongBands(f"the image has mode {image.mode}; {ACCEPTED}")
            return image.convert("RGB")
    except UnidentifiedImageError as error:
        raise CorruptChip("the image's header is broken; send the whole file") from error
    except (OSError, SyntaxError, ValueError) as error:
        _corrupt(error)


def _read_tiff(data: bytes) -> npt.NDArray[np.uint8]:
    # Pillow would silently cut uint16 bands to their high byte; tifffile keeps them.
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            page = file.pages.first
            _check_size(page.imagewidth, page.imagelength)
            bands, dtype, layers = page.samplesperpixel, str(page.dtype), page.imagedepth
            if layers != 1 or (bands, dtype) not in ((3, "uint8"), (4, "uint8"), (4, "uint16")):
                raise WrongBands(f"the TIFF has {layers} layer(s) of {bands} band(s) of {dtype}; {ACCEPTED}")
            _check_segments(page)
            pixels = page.asarray()
    except ChipError:
        raise
    except Exception as error:  # a hostile TIFF makes the parser raise nearly anything
        _corrupt(error)
    if page.axes.startswith("S"):
        pixels = np.moveaxis(pixels, 0, -1)
    if dtype == "uint8":
        return np.ascontiguousarray(pixels[..., :3])
    return np.stack([_GREY_OF_RAW[b][pixels[..., PLANET_BANDS.index(b)]] for b in RGB], axis=-1)


def _check_segments(page: tifffile.TiffPage) -> None:
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
    if page.photometric not in ((2,) if page.dtype == "uint8" else (1, 2)):
        raise WrongBands(f"the TIFF's colours are {tifffile.PHOTOMETRIC(page.photometric).name}; {ACCEPTED}")


def _check_size(width_px: int, height_px: int) -> None:
    found = f"the image is {width_px}×{height_px} px"
    if max(width_px, height_px) > MAX_SIDE_PX:
        raise TooManyPixels(f"{found}; at most {MAX_SIDE_PX}×{MAX_SIDE_PX} is accepted: cut it into chips")
    if min(width_px, height_px) < MIN_SIDE_PX:
        raise WrongSize(f"{found}; at least {MIN_SIDE_PX}×{MIN_SIDE_PX} is needed")


def _corrupt(error: Exception) -> NoReturn:
    raise CorruptChip(f"the image is truncated or corrupt ({error}); send the whole file") from error
