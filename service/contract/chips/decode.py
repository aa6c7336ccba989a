"""Bytes → a validated chip; the one decoder for training and serving.

Runs before any queue, so a bad chip never meets its neighbours. Does format, band and
size checks, brings every format to the bundle's bands, number type and nominal size.
Scaling for a network is not done here: that is inside the graph.

Each format's header is judged before a library sees the file, and what the pixels do not need is
dropped: the file's own size and the largest picture bound memory and time. TIFFs are read apart.

Shape suffixes: H height, W width, C bands.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from service.contract.chips import jpeg, png, tiff_directory
from service.contract.chips.bands import CONTEST, RGB, accepted, check_size, takes_pictures
from service.contract.chips.pictures import read_picture
from service.contract.chips.readers.pool import READERS
from service.contract.chips.scale import scale_warnings
from service.contract.chips.tone import stretched, toned
from service.contract.chips.values import check_values, settled
from service.contract.errors import EmptyChip, NotAnImage, OutOfMemory, WrongBands
from service.contract.manifest import InputSpec, Pixel

# Formats that other processes read, and formats that people send and nobody can decode here, by
# where their signature stands.
_READ_APART = {
    "WebP": (8, b"WEBP"),
    "JPEG 2000": (4, b"jP  "),
    "JPEG 2000 codestream": (0, b"\xff\x4f\xff\x51"),
}
_OTHERS = {
    "GIF": (0, b"GIF8"),
    "BMP": (0, b"BM"),
    "HEIC or AVIF": (4, b"ftyp"),
    "JPEG XL": (4, b"JXL "),
    "PDF": (0, b"%PDF"),
    "ZIP": (0, b"PK\3\4"),
}
_CONTEST_SPEC = InputSpec(
    bands=CONTEST.bands, dtype=CONTEST.dtype, height=1, width=1, sensor="planet-contest"
)


def decode_chip(data: bytes, spec: InputSpec) -> npt.NDArray[Pixel]:
    """Decode and validate one chip.

    Args:
        data: a whole JPEG, PNG, WebP, JPEG 2000 or TIFF file.
        spec: the bundle's bands, number type and nominal size; other sizes are resized to it.
            Visible bands as uint8 are grey levels, which every format gives; a uint16 TIFF of the
            Planet contest is toned. All else is what TIFFs hold: by the names of their bands or,
            without any, in the order that the spec tells.

    Returns:
        (H,W,C) of the spec's dtype, C-contiguous.

    Raises:
        ChipError: says what is wrong with the bytes and what is accepted.
        OutOfMemory: the machine has too little left, which is not the chip's fault.
    """
    return _decoded(data, spec)[0]


class Decoded(NamedTuple):
    """One chip, and what should be known of it, in sentences for people."""

    chip_HWC: npt.NDArray[Pixel]
    warnings: list[str]


def decode(data: bytes, spec: InputSpec) -> Decoded:
    """Decode and validate one chip, and tell if it was far from what the bundle knows.

    Takes, returns and raises what `decode_chip` does, and gives the warnings of `scale_warnings`.
    """
    chip_HWC, size_px = _decoded(data, spec)
    return Decoded(chip_HWC, scale_warnings(data, size_px, spec))


def _decoded(data: bytes, spec: InputSpec) -> tuple[npt.NDArray[Pixel], tuple[int, int]]:
    """Return a chip, and the width and height that it came with."""
    with enough_memory():
        pixels_HWC = read_pixels(data, spec)
        height_px, width_px = pixels_HWC.shape[:2]
        check_size(width_px, height_px)
        check_values(pixels_HWC, spec.bands, spec)
        return np.ascontiguousarray(resized(pixels_HWC, spec)), (width_px, height_px)


@contextmanager
def enough_memory() -> Iterator[None]:
    """Raise `OutOfMemory` where memory is short."""
    try:
        yield
    except MemoryError as error:
        raise OutOfMemory("there is too little memory for this chip; send it again in a moment") from error


def read_pixels(data: bytes, spec: InputSpec) -> npt.NDArray[Pixel]:
    """Return the spec's bands of a file (H,W,C), of its number type and the file's own size."""
    return brought(*_read(data, spec), spec)


def brought(pixels_HWC: npt.NDArray[Pixel], bands: tuple[str, ...], spec: InputSpec) -> npt.NDArray[Pixel]:
    """Bring a file's pixels (H,W,C), with their bands' names, to the spec's bands and number type.

    Raises:
        WrongValues: the values cannot be what the bands are.
    """
    if takes_pictures(spec) and pixels_HWC.dtype == np.uint16:
        check_values(pixels_HWC, bands, _CONTEST_SPEC)
        pixels_HWC, bands = toned(pixels_HWC, bands), RGB
    if bands != spec.bands:
        pixels_HWC = pixels_HWC[..., [bands.index(band) for band in spec.bands]]
    return settled(pixels_HWC, spec)


def picture(data: bytes, spec: InputSpec) -> npt.NDArray[np.uint8]:
    """Decode one chip for people to look at: uint8 RGB (H,W,3) at the spec's size.

    What is no 8-bit picture is stretched between two percentiles of this chip, band by band; only
    the contest's chips have a tone. Without red, green and blue the first band is shown in grey.

    Raises:
        ChipError, OutOfMemory: as `decode_chip`.
    """
    visible = set(RGB) <= set(spec.order)
    contest = (spec.order, spec.dtype) == (CONTEST.bands, CONTEST.dtype)
    contest = contest and spec.sensor in (None, "planet-contest")
    if visible and (spec.dtype == "uint8" or contest):
        changes: dict[str, Any] = {"bands": RGB, "dtype": "uint8", "limits": (), "sensor": None}
        changes |= {"file_bands": (), "nodata": None} if contest else {"file_bands": spec.order}
        return decode_chip(data, spec.model_copy(update=changes)).astype(np.uint8, copy=False)
    bands = RGB if visible else (spec.bands[0],)
    chip_HWC = decode_chip(data, spec.model_copy(update={"bands": bands, "limits": ()}))
    shown_HWC = stretched(chip_HWC, spec.nodata)
    return shown_HWC if visible else np.repeat(shown_HWC, 3, axis=2)


def _read(data: bytes, spec: InputSpec) -> tuple[npt.NDArray[Pixel], tuple[str, ...]]:
    """Return the pixels as they are in the file, and the names of their bands."""
    if not data:
        raise EmptyChip(f"the chip has no bytes; {accepted(spec)}")
    if data.startswith(jpeg.SIGNATURE):
        return _read_jpeg(data, spec), RGB
    if data.startswith(png.SIGNATURE):
        found = png.read_picture(data)
        check_size(found.width, found.height)
        _check_visible("PNG", spec)
        if found.bits > 8:
            raise WrongBands(
                f"the PNG has {found.bits} bits a sample, and how much of them its values use cannot be "
                f"told; scale it to 8 bits (gdal_translate -ot Byte -scale); {accepted(spec)}"
            )
        return read_picture(found.data, ("PNG",), spec), RGB
    if data.startswith(tiff_directory.SIGNATURES):
        return READERS.read(data, spec)
    if name := _kind(data, _READ_APART):
        if not (name.startswith("JPEG 2000") and len(spec.order) == 1):  # one band: with its own numbers
            _check_visible(name, spec)
        return READERS.read(data, spec)
    if name := _kind(data, _OTHERS):
        raise NotAnImage(f"the file is a {name}; {accepted(spec)}")
    raise NotAnImage(f"the bytes start with {data[:4].hex(' ')}, no known image; {accepted(spec)}")


def _kind(data: bytes, signatures: dict[str, tuple[int, bytes]]) -> str | None:
    return next((name for name, (at, each) in signatures.items() if data.startswith(each, at)), None)


def _read_jpeg(data: bytes, spec: InputSpec) -> npt.NDArray[np.uint8]:
    header = jpeg.read_header(data)
    check_size(header.width, header.height)
    _check_visible("JPEG", spec)
    pixels_HWC = jpeg.decode_rgb(data, header)
    if pixels_HWC is not None:
        return pixels_HWC
    return read_picture(jpeg.without_metadata(data, header), ("JPEG",), spec)


def _check_visible(name: str, spec: InputSpec) -> None:
    if not takes_pictures(spec):
        raise WrongBands(f"the {name} holds 8-bit RGB; {accepted(spec)}")


def resized(pixels_HWC: npt.NDArray[Pixel], spec: InputSpec) -> npt.NDArray[Pixel]:
    """Bring pixels (H,W,C) to the spec's size."""
    size = (spec.width, spec.height)
    if pixels_HWC.shape[:2] == size[::-1]:
        return pixels_HWC
    if (spec.dtype, len(spec.bands), spec.nodata) == ("uint8", 3, None):
        return np.asarray(Image.fromarray(pixels_HWC).resize(size, Image.Resampling.BILINEAR))
    # Band by band as floats: Pillow has no picture of several uint16 bands, and takes a fourth
    # band of uint8 for an opacity that it weights the others with.
    return np.stack(
        [_resized_band(band_HW, size, spec) for band_HW in np.moveaxis(pixels_HWC, -1, 0)], axis=-1
    )


def _resized_band(band_HW: npt.NDArray[Pixel], size: tuple[int, int], spec: InputSpec) -> npt.NDArray[Pixel]:
    """Resize one band. What shows nothing keeps its value, and no neighbour takes part of it."""
    blank_HW = band_HW == spec.nodata if spec.nodata is not None else np.zeros(band_HW.shape, np.bool_)
    floats_HW = band_HW.astype(np.float32)
    if blank_HW.any() and not blank_HW.all():
        floats_HW[blank_HW] = np.median(floats_HW[~blank_HW])
    found_HW = np.asarray(Image.fromarray(floats_HW).resize(size, Image.Resampling.BILINEAR))
    found_HW = found_HW.astype(spec.dtype) if spec.dtype == "float32" else found_HW.round().astype(spec.dtype)
    blank = Image.fromarray(blank_HW).resize(size, Image.Resampling.NEAREST)
    return np.where(np.asarray(blank), np.asarray(spec.nodata or 0, spec.dtype), found_HW)
