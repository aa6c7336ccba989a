"""Painted chips in files as GDAL, tifffile and Pillow write them, with a bundle that takes them.

Needs rasterio. Shape suffixes: H height, W width, C bands.
"""

import io
import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
import tifffile
from PIL import Image
from rasterio.enums import ColorInterp
from rasterio.io import MemoryFile

from service.contract.manifest import InputSpec

HEIGHT_PX, WIDTH_PX = 77, 101  # of no tile or strip a multiple
RGB = ("red", "green", "blue")
NAMES = {1: RGB[:1], 3: RGB, 4: ("red", "green", "blue", "nir")}
Pixels = npt.NDArray[Any]
Encoding = tuple[bytes, InputSpec]


def _hills(seed: int) -> npt.NDArray[np.uint8]:
    """Smooth hills with grain on them (H,W,3)."""
    random = np.random.default_rng(seed)
    coarse_HWC = random.integers(20, 236, (8, 10, 3), np.uint8)
    smooth = Image.fromarray(coarse_HWC).resize((WIDTH_PX, HEIGHT_PX), Image.Resampling.BICUBIC)
    grain_HWC = random.integers(-8, 9, (HEIGHT_PX, WIDTH_PX, 3))
    return (np.asarray(smooth) + grain_HWC).clip(0, 255).astype(np.uint8)


SHOWN_HW = _hills(9)[..., 0] > 110  # what a mask leaves


def painted(dtype: str = "uint8", bands: int = 3) -> Pixels:
    """Hills (H,W,C) whose values take all bits of a number type."""
    pixels_HWC = np.concatenate([_hills(seed) for seed in range(-(-bands // 3))], axis=2)[..., :bands]
    fine_HWC = pixels_HWC.astype(np.float64) + np.random.default_rng(1).random(pixels_HWC.shape)
    match dtype:
        case "uint8":
            return np.ascontiguousarray(pixels_HWC)
        case "uint16":
            return (fine_HWC * 255).astype(np.uint16)
        case "int16":
            return ((fine_HWC - 128) * 250).astype(np.int16)
        case _:
            return (fine_HWC / 200).astype(np.float32)


def spec_of(pixels_HWC: Pixels, **known: Any) -> InputSpec:  # noqa: ANN401
    """What a bundle says that takes such chips."""
    bands = pixels_HWC.shape[2]
    names = NAMES.get(bands, tuple(f"b{number}" for number in range(1, bands + 1)))
    known = {"bands": names, "file_bands": names, "dtype": str(pixels_HWC.dtype)} | known
    return InputSpec(height=pixels_HWC.shape[0], width=pixels_HWC.shape[1], **known)


def geotiff(
    pixels_HWC: Pixels,
    *,
    driver: str = "GTiff",
    shown_HW: npt.NDArray[np.bool_] | None = None,
    descriptions: tuple[str, ...] = (),
    colours: tuple[ColorInterp, ...] = (),
    **profile: Any,  # noqa: ANN401
) -> bytes:
    """Return a file as GDAL writes it."""
    height, width, bands = pixels_HWC.shape
    transform = rasterio.Affine(10, 0, 500_000, 0, -10, 9_000_000)
    profile = {"crs": "EPSG:32721", "transform": transform} | profile
    shape = {"height": height, "width": width, "count": bands, "dtype": pixels_HWC.dtype}
    ext = ".jp2" if driver == "JP2OpenJPEG" else ".tif"
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), MemoryFile(ext=ext) as memory:
        with memory.open(driver=driver, **shape, **profile) as file:
            if colours:
                file.colorinterp = colours
            file.write(np.moveaxis(pixels_HWC, -1, 0))
            for band, name in enumerate(descriptions, 1):
                file.set_band_description(band, name)
            if shown_HW is not None:
                file.write_mask(shown_HW)
        return bytes(memory.read())


def gdals(
    dtype: str = "uint8",
    bands: int = 3,
    *,
    known: dict[str, Any] | None = None,
    **options: Any,  # noqa: ANN401
) -> Encoding:
    pixels_HWC = painted(dtype, bands)
    return geotiff(pixels_HWC, **options), spec_of(pixels_HWC, **known or {})


def tifffiles(dtype: str = "uint8", bands: int = 3, **options: Any) -> Encoding:  # noqa: ANN401
    pixels_HWC, stream = painted(dtype, bands), io.BytesIO()
    if options.get("planarconfig") == "separate":
        pixels_HWC = np.moveaxis(pixels_HWC, -1, 0)
    options = {"photometric": "rgb" if bands == 3 else "minisblack", "metadata": None} | options
    tifffile.imwrite(stream, pixels_HWC, **options)
    return stream.getvalue(), spec_of(painted(dtype, bands))


def pillows(
    kind: str,
    mode: str = "RGB",
    *,
    known: dict[str, Any] | None = None,
    **options: Any,  # noqa: ANN401
) -> Encoding:
    stream = io.BytesIO()
    image = Image.fromarray(painted())
    if mode == "RGBA":
        image.putalpha(Image.fromarray((SHOWN_HW * 255).astype(np.uint8)))
    image.convert(mode).save(stream, kind, **options)
    return stream.getvalue(), spec_of(painted(), grey=mode == "L", **known or {})


def with_an_opacity(nodata: float | None = None, *, soft: bool = True, **options: Any) -> Encoding:  # noqa: ANN401
    """RGB with an opacity of 0 in places, and of all values or 255 elsewhere."""
    pixels_HWC = painted(bands=4)
    pixels_HWC[..., 3] = SHOWN_HW * (pixels_HWC[..., 3] if soft else np.uint8(255))
    return geotiff(pixels_HWC, **{"photometric": "rgb"} | options), spec_of(painted(), nodata=nodata)


def with_nan(bands: int = 4, **options: Any) -> Encoding:  # noqa: ANN401
    """Four bands, of which some are NaN where there is nothing to see."""
    pixels_HWC = painted("float32", 4)
    pixels_HWC[~SHOWN_HW, :bands] = np.nan
    return geotiff(pixels_HWC, **options), spec_of(pixels_HWC, nodata=-1)


def with_a_palette(scale: int = 257, more: int = 0) -> Encoding:
    """Colours of 16 bits: 257 times 8 bits, or as other writers make them."""
    values = np.arange(256)
    palette = np.stack([values, 255 - values, values * 7 % 256]) * scale + more
    stream = io.BytesIO()
    indices_HW = painted(bands=1)[..., 0]
    tifffile.imwrite(
        stream, indices_HW, photometric="palette", colormap=palette.astype(np.uint16), metadata=None
    )
    return stream.getvalue(), spec_of(painted())


def interlaced() -> Encoding:
    """PNG in seven passes, which no library here writes: each pass is a small picture."""
    rows = bytearray()
    pixels_HWC = painted()
    for top, left, down, across in (
        (0, 0, 8, 8),
        (0, 4, 8, 8),
        (4, 0, 8, 4),
        (0, 2, 4, 4),
        (2, 0, 4, 2),
        (0, 1, 2, 2),
        (1, 0, 2, 1),
    ):
        for row_WC in pixels_HWC[top::down, left::across]:
            rows += b"\0" + row_WC.tobytes()
    header = struct.pack(">IIBBBBB", WIDTH_PX, HEIGHT_PX, 8, 2, 0, 0, 1)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )
    return data, spec_of(pixels_HWC)


def planets() -> Encoding:
    """Four components, and no marker that tells their colours: the inverse of RGB and no black."""
    inverted = Image.merge(
        "CMYK", [*Image.fromarray(255 - painted()).split(), Image.new("L", (WIDTH_PX, HEIGHT_PX))]
    )
    stream = io.BytesIO()
    inverted.save(stream, "JPEG", quality=95)
    data = stream.getvalue()
    at = data.index(b"\xff\xee")  # Adobe's marker
    return data[:at] + data[at + 2 + int.from_bytes(data[at + 2 : at + 4]) :], spec_of(painted())
