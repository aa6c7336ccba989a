"""JPEG, PNG, WebP and JPEG 2000 bytes → RGB pixels, by Pillow; one band of JPEG 2000 as it is.

Shape suffixes: H height, W width, C bands.
"""

import io
import re
from collections.abc import Sequence

import imagecodecs
import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from service.contract.chips import jpeg2000
from service.contract.chips.bands import accepted, check_grey, check_size
from service.contract.errors import CorruptChip, WrongBands, corrupt, is_shortage
from service.contract.manifest import InputSpec, Pixel

# Pillow's own limit warns and then raises far above ours; ours is checked before any decoding.
Image.MAX_IMAGE_PIXELS = None

# Real Planet JPEGs carry four components without a marker: Pillow calls them CMYK and its
# conversion gives the right picture; their first three bands are inverted.
_COLOURS = ("RGB", "RGBA", "P", "PA", "CMYK", "YCbCr")
_GREY = ("1", "L", "LA", "I", "I;16", "I;16B", "F")


# In JPEG 2000's data: a byte for the bits of each component, and two others.
_BITS_AT, _BITS_EACH = 42, 3
# A channel that it says to be an opacity.
_OPACITY = re.compile(rb"cdef\x00[\x01-\x04](?s:.{6}){0,3}\x00[\x01-\x03]\x00\x01")
_EIGHT_BITS = 7  # one less; the highest bit would be for a sign


def read_picture(data: bytes, formats: Sequence[str], spec: InputSpec) -> npt.NDArray[np.uint8]:
    """Decode a picture of one of these of Pillow's formats: RGB (H,W,3).

    Raises:
        ChipError: says what is wrong with the bytes and what is accepted.
        MemoryError: there is too little.
    """
    try:
        with Image.open(io.BytesIO(data), formats=list(formats)) as image:
            check_size(*image.size)
            if image.format == "JPEG2000":
                _check_codestream(data, spec)
            if (frames := getattr(image, "n_frames", 1)) > 1:
                raise WrongBands(f"the picture moves: it has {frames} frames; {accepted(spec)}")
            if image.mode in _GREY:
                check_grey(image.format or "picture", spec)
            elif image.mode not in _COLOURS:
                raise WrongBands(f"the picture has colours of kind {image.mode}; {accepted(spec)}")
            pixels_HWC = np.asarray(image.convert("RGB"))
            # Pillow takes any fourth band of a JPEG 2000 for an opacity.
            named = image.format != "JPEG2000" or _OPACITY.search(data) is not None
            if spec.nodata is not None and image.has_transparency_data and named:
                opacity_HWC = np.asarray(image.convert("RGBA"))[..., 3:]
                pixels_HWC = np.where(opacity_HWC == 0, np.uint8(spec.nodata), pixels_HWC)
            return pixels_HWC
    except UnidentifiedImageError as error:
        raise CorruptChip("the image's header is broken; send the whole file") from error
    except (OSError, SyntaxError, ValueError, AssertionError) as error:  # Pillow asserts what files say
        if is_shortage(error):
            raise MemoryError from error
        raise corrupt(error) from error


def claimed_samples(data: bytes) -> int:
    """Return how many samples a WebP or JPEG 2000 file claims to have; 0 where it claims none."""
    try:
        with Image.open(io.BytesIO(data), formats=["WEBP", "JPEG2000"]) as image:
            return image.width * image.height * len(image.getbands())
    except Exception:  # reading it for good says what is wrong
        return 0


def read_band(data: bytes, spec: InputSpec) -> npt.NDArray[Pixel]:
    """Decode a JPEG 2000 file of one band, with the numbers that are in it: (H,W,1).

    Raises:
        ChipError: says what is wrong with the bytes and what is accepted.
        MemoryError: there is too little.
    """
    try:
        with Image.open(io.BytesIO(data), formats=["JPEG2000"]) as image:
            check_size(*image.size, 1)
        header = jpeg2000.read_header(data)
        check_size(header.width, header.height, 1)
        # Pillow would stretch the 15 bits of Sentinel-2's products to 16, and double every value.
        pixels = imagecodecs.jpeg2k_decode(data)
    except (OSError, SyntaxError, ValueError, RuntimeError) as error:
        if is_shortage(error):
            raise MemoryError from error
        raise corrupt(error) from error
    pixels_HWC = np.atleast_3d(pixels)
    height, width, bands = pixels_HWC.shape
    check_size(width, height, 1)
    if bands != 1 or pixels_HWC.dtype != spec.dtype:
        raise WrongBands(f"the JPEG 2000 has {bands} band(s) of {pixels_HWC.dtype}; {accepted(spec)}")
    return pixels_HWC


def _check_codestream(data: bytes, spec: InputSpec) -> None:
    """Refuse a JPEG 2000 of another size inside, of bits to be scaled, or of nameless bands."""
    at, width, height, count = jpeg2000.read_header(data)
    check_size(width, height)
    kinds = data[at + _BITS_AT : at + _BITS_AT + _BITS_EACH * count : _BITS_EACH]
    if odd := [kind for kind in kinds if kind != _EIGHT_BITS]:
        signed = "signed " if odd[0] > 0x7F else ""
        raise WrongBands(
            f"the JPEG 2000 has {(odd[0] & 0x7F) + 1} {signed}bits a sample, and how much of them its values "
            f"use cannot be told; scale it to 8 bits (gdal_translate -ot Byte -scale); {accepted(spec)}"
        )
    if count > 4 or (count == 4 and data.startswith(jpeg2000.CODESTREAM)):
        raise WrongBands(
            f"the JPEG 2000 has {count} bands, and which is which cannot be told; {accepted(spec)}"
        )
