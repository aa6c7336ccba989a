"""Bytes → a validated chip; the one decoder for training and serving.

Runs before any queue, so a bad chip never meets its neighbours. Does format, band and
size checks, brings every format to the bundle's bands, number type and nominal size.
Scaling for a network is not done here: that is inside the graph.

Each format's header is judged before a library sees the file, and what the pixels do not need is
dropped: the file's own size and the largest picture bound memory and time. TIFFs are read apart.

Shape suffixes: H height, W width, C bands.
"""

import io
from typing import NoReturn

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from service.contract.chips import jpeg, png, tiff_directory
from service.contract.chips.bands import RGB, accepted, check_size, tiff_kinds
from service.contract.chips.readers import READERS
from service.contract.errors import CorruptChip, EmptyChip, NotAnImage, OutOfMemory, WrongBands, is_shortage
from service.contract.manifest import InputSpec, Pixel

# Formats that people send and nobody can decode here, by where their signature stands.
_OTHERS = {
    "GIF": (0, b"GIF8"),
    "BMP": (0, b"BM"),
    "WebP": (8, b"WEBP"),
    "HEIC or AVIF": (4, b"ftyp"),
    "JPEG 2000": (4, b"jP  "),
    "JPEG 2000 codestream": (0, b"\xff\x4f\xff\x51"),
    "JPEG XL": (4, b"JXL "),
    "PDF": (0, b"%PDF"),
    "ZIP": (0, b"PK\3\4"),
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
        OutOfMemory: the machine has too little left, which is not the chip's fault.
    """
    try:
        pixels_HWC, bands = _read(data, spec)
        if bands != spec.bands:
            pixels_HWC = pixels_HWC[..., [bands.index(band) for band in spec.bands]]
        return np.ascontiguousarray(_resize(pixels_HWC, spec))
    except MemoryError as error:
        raise OutOfMemory("there is too little memory for this chip; send it again in a moment") from error


def picture(data: bytes, spec: InputSpec) -> npt.NDArray[np.uint8]:
    """Decode one chip for people: uint8 RGB (H,W,3) at the spec's size, whatever its bands.

    Raises:
        ChipError, OutOfMemory: as `decode_chip`.
    """
    shown = spec.model_copy(update={"bands": RGB, "dtype": "uint8"})
    return decode_chip(data, shown).astype(np.uint8, copy=False)


def _read(data: bytes, spec: InputSpec) -> tuple[npt.NDArray[Pixel], tuple[str, ...]]:
    if not data:
        raise EmptyChip(f"the chip has no bytes; {accepted(spec)}")
    if data.startswith(jpeg.SIGNATURE):
        return _read_jpeg(data, spec), RGB
    if data.startswith(png.SIGNATURE):
        picture = png.read_picture(data)
        check_size(picture.width, picture.height)
        _check_visible("PNG", spec)
        return _read_by_pillow(picture.data, spec), RGB
    if data.startswith(tiff_directory.SIGNATURES):
        return READERS.read(data, spec)
    for name, (at, signature) in _OTHERS.items():
        if data.startswith(signature, at):
            raise NotAnImage(f"the file is a {name}; {accepted(spec)}")
    raise NotAnImage(f"the bytes start with {data[:4].hex(' ')}, no known image; {accepted(spec)}")


def _read_jpeg(data: bytes, spec: InputSpec) -> npt.NDArray[np.uint8]:
    header = jpeg.read_header(data)
    check_size(header.width, header.height)
    _check_visible("JPEG", spec)
    pixels_HWC = jpeg.decode_rgb(data, header)
    return _read_by_pillow(jpeg.without_metadata(data, header), spec) if pixels_HWC is None else pixels_HWC


def _check_visible(name: str, spec: InputSpec) -> None:
    if (3, "uint8") not in tiff_kinds(spec):
        raise WrongBands(f"the {name} holds 8-bit RGB; {accepted(spec)}")


def _read_by_pillow(data: bytes, spec: InputSpec) -> npt.NDArray[np.uint8]:
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG", "PNG")) as image:
            # Real Planet JPEGs carry four components without a marker: Pillow calls them CMYK
            # and its conversion gives the right picture; their first three bands are inverted.
            if image.mode not in ("RGB", "RGBA", "P", "CMYK"):
                raise WrongBands(f"the image has mode {image.mode}; {accepted(spec)}")
            return np.asarray(image.convert("RGB"))
    except UnidentifiedImageError as error:
        raise CorruptChip("the image's header is broken; send the whole file") from error
    except (OSError, SyntaxError, ValueError) as error:
        _corrupt(error)


def _corrupt(error: Exception) -> NoReturn:
    if is_shortage(error):
        raise MemoryError from error
    raise CorruptChip(f"the image is truncated or corrupt ({error}); send the whole file") from error


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
