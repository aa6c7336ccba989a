"""Chips in every encoding that is accepted, and the same pixels as GDAL reads from the same bytes.

Shape suffixes: H height, W width, C bands.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from service.contract.chips.decode import decode_chip
from service.contract.errors import ChipError
from service.contract.manifest import InputSpec

pytest.importorskip("rasterio", reason="rasterio is the reader that chips are compared with")

from rasterio.enums import ColorInterp

from benchmarks.harness.reference import Reading, read
from tests.kit.encodings import (
    RGB,
    SHOWN_HW,
    Encoding,
    Pixels,
    gdals,
    interlaced,
    painted,
    pillows,
    planets,
    tifffiles,
    with_a_palette,
    with_an_opacity,
    with_nan,
)


def wanted(reading: Reading, spec: InputSpec) -> Pixels:
    """Return a bundle's bands (H,W,C), with its value for what shows nothing."""
    names = reading.names if set(spec.bands) <= set(reading.names) else spec.bands
    pixels_HWC, shown_HWC = (
        array_HWC[..., [names.index(band) % array_HWC.shape[2] for band in spec.bands]]  # grey is all colours
        for array_HWC in (reading.pixels_HWC, reading.shown_HWC)
    )
    if spec.nodata is None:
        return pixels_HWC
    empty_HWC = ~shown_HWC | ~np.isfinite(pixels_HWC)
    return np.where(empty_HWC, pixels_HWC.dtype.type(spec.nodata), pixels_HWC)


SHUFFLED: dict[str, Any] = {"descriptions": ("nir", "green", "blue", "red"), "photometric": "minisblack"}
COLOURS = tuple(ColorInterp[name] for name in ("blue", "red", "green", "undefined"))
GREY: dict[str, Any] = {"bands": RGB, "file_bands": RGB, "grey": True}
OF_FOUR: dict[str, Any] = {"bands": RGB, "file_bands": ()}
BLACK: dict[str, Any] = {"nodata": 0}
OPACITY = tuple(ColorInterp[name] for name in ("red", "green", "blue", "alpha"))
LERC: dict[str, Any] = {"max_z_error": 0}
MASKED: dict[str, Any] = {"shown_HW": SHOWN_HW, "photometric": "minisblack"}
FOUR: dict[str, Any] = {"photometric": "minisblack", "alpha": "unspecified"}
TILED: dict[str, Any] = {"tiled": True, "blockxsize": 32, "blockysize": 48}

ENCODINGS: dict[str, Callable[[], Encoding]] = {
    # Number types, bands, and how they lie in the file.
    **{
        f"{dtype}, {bands} bands, {interleave}": partial(
            gdals, dtype, bands, interleave=interleave, photometric="minisblack"
        )
        for dtype in ("uint8", "uint16", "int16", "float32")
        for bands, interleave in ((3, "pixel"), (4, "band"), (8, "pixel"), (12, "band"), (13, "pixel"))
    },
    "grey": partial(gdals, bands=1, known=GREY),
    "one band of float32": partial(gdals, "float32", 1),
    "tiles": partial(gdals, **TILED),
    "tiles by band": partial(gdals, "uint16", 4, interleave="band", **TILED),
    "a tile larger than the picture": partial(gdals, tiled=True, blockxsize=256, blockysize=256),
    "strips of a row": partial(gdals, "uint16", 8, blockysize=1),
    "strips of 13 rows": partial(gdals, "int16", 3, blockysize=13, photometric="minisblack"),
    "big endian": partial(gdals, "uint16", 4, endianness="big", **FOUR),
    "big endian, float32, predictor 3": partial(
        gdals, "float32", 4, endianness="big", compress="lzw", predictor=3, **TILED
    ),
    "big endian, predictor 2": partial(gdals, "int16", 4, endianness="big", compress="deflate", predictor=2),
    "BigTIFF": partial(gdals, "uint16", 13, bigtiff="YES"),
    "BigTIFF, big endian": partial(gdals, bigtiff="YES", endianness="big", **TILED),
    "sparse": partial(gdals, "uint16", 4, sparse_ok=True, **TILED),
    # Compressions without loss.
    **{
        f"{compression} of {dtype}, predictor {predictor}": partial(
            gdals,
            dtype,
            bands,
            compress=compression,
            predictor=predictor,
            photometric="minisblack",
            **options,
        )
        for compression in ("lzw", "deflate", "zstd")
        for dtype, bands, predictor, options in (
            ("uint8", 3, 1, {}),
            ("uint8", 4, 2, TILED),
            ("uint16", 4, 2, {"interleave": "band"}),
            ("int16", 13, 2, TILED),
            ("float32", 4, 2, TILED),
            ("float32", 3, 3, {"interleave": "band"}),
        )
    },
    "PackBits": partial(gdals, "uint16", 4, compress="packbits"),
    "LZMA": partial(gdals, "int16", 4, compress="lzma", interleave="band"),
    **{
        f"{compression} of {dtype}": partial(
            gdals, dtype, bands, compress=compression, photometric="minisblack", **LERC
        )
        for compression in ("lerc", "lerc_deflate", "lerc_zstd")
        for dtype, bands in (("uint8", 3), ("uint16", 13), ("int16", 4), ("float32", 4))
    },
    "WebP without loss": partial(gdals, compress="webp", webp_lossless=True, **TILED),
    # Compressions with loss.
    "JPEG in TIFF, YCbCr 4:2:0": partial(gdals, compress="jpeg", photometric="ycbcr", **TILED),
    "JPEG in TIFF, YCbCr, strips": partial(gdals, compress="jpeg", photometric="ycbcr", blockysize=16),
    "JPEG in TIFF, RGB": partial(gdals, compress="jpeg", photometric="rgb", **TILED),
    "JPEG in TIFF, RGB marked as grey": partial(gdals, compress="jpeg", photometric="minisblack", **TILED),
    "JPEG in TIFF, three bands": partial(
        gdals, bands=3, compress="jpeg", descriptions=RGB, photometric="minisblack"
    ),
    "JPEG in TIFF, five bands": partial(
        gdals, bands=5, compress="jpeg", photometric="minisblack", interleave="band"
    ),
    "JPEG in TIFF, by band": partial(gdals, compress="jpeg", interleave="band", **TILED),
    "JPEG in TIFF, grey": partial(gdals, bands=1, compress="jpeg", known=GREY),
    "JPEG in TIFF, four bands": partial(gdals, bands=4, compress="jpeg", **FOUR),
    "JPEG in TIFF, without tables": partial(gdals, compress="jpeg", jpegtablesmode=0, photometric="ycbcr"),
    "JPEG in TIFF, YCbCr 4:4:4": partial(
        tifffiles, compression="jpeg", subsampling=(1, 1), tile=(32, 48), photometric="rgb"
    ),
    "WebP in TIFF": partial(gdals, compress="webp", **TILED),
    # Cloud optimised.
    "COG": partial(gdals, "uint16", 4, driver="COG", compress="deflate", predictor="YES", blocksize=64),
    "COG with overviews": partial(gdals, driver="COG", compress="lzw", blocksize=128, overview_count=2),
    "COG of JPEG": partial(gdals, driver="COG", compress="jpeg", blocksize=64),
    "COG of WebP": partial(gdals, driver="COG", compress="webp", quality=100, blocksize=64),
    "COG of LERC": partial(gdals, "float32", 4, driver="COG", compress="lerc_zstd", **LERC),
    "COG, planes apart": partial(gdals, "int16", 8, driver="COG", interleave="band"),
    # What bands are, and what shows nothing.
    "a palette": with_a_palette,
    "a palette of 8 bits": partial(with_a_palette, 1),
    "a palette of shifted 8 bits": partial(with_a_palette, 256),
    "a palette of any 16 bits": partial(with_a_palette, 251, 700),
    "RGB with an opacity": with_an_opacity,
    "RGB with an opacity that leaves out": partial(with_an_opacity, nodata=0),
    "RGB marked as grey with an opacity that leaves out": partial(
        with_an_opacity, nodata=0, photometric="minisblack", colours=OPACITY
    ),
    "bands described in another order": partial(gdals, "uint16", 4, **SHUFFLED),
    "colours in another order": partial(
        gdals, bands=4, photometric="minisblack", colours=COLOURS, known=OF_FOUR
    ),
    "NaN": partial(with_nan, compress="deflate", predictor=3),
    **{
        f"NaN in {bands} bands of {compression}, {interleave}": partial(
            with_nan, bands, compress=compression, interleave=interleave, **LERC
        )
        for compression in ("lerc", "lerc_zstd")
        for bands, interleave in ((4, "pixel"), (3, "pixel"), (1, "band"))
    },
    **{
        f"RGB with an opacity of two values, {options}, nodata {nodata}": partial(
            with_an_opacity, nodata, soft=False, compress="lerc_deflate", **LERC, **options
        )
        for options in ({}, TILED)
        for nodata in (None, 0)
    },
    "a value of nodata": partial(gdals, "int16", 4, nodata=2000, known={"nodata": -9999}),
    **{
        f"a mask of {dtype} in {driver}, {compression}": partial(
            gdals, dtype, 4, driver=driver, compress=compression, known={"nodata": nodata}, **MASKED
        )
        for driver, compression in (("GTiff", "none"), ("GTiff", "zstd"), ("COG", "lzw"), ("COG", "lerc"))
        for dtype, nodata in (("uint16", 0), ("int16", -9999))
    },
    "a mask and a value of nodata": partial(gdals, "uint16", 4, nodata=2000, known=BLACK, **MASKED),
    "a mask in BigTIFF": partial(gdals, "uint16", 8, bigtiff="YES", endianness="big", known=BLACK, **MASKED),
    "a mask of a COG of JPEG": partial(
        gdals, driver="COG", compress="jpeg", blocksize=64, known=BLACK, shown_HW=SHOWN_HW
    ),
    "a mask that no bundle asks for": partial(gdals, shown_HW=SHOWN_HW),
    # Files of their own.
    "PNG": partial(pillows, "PNG"),
    "PNG, interlaced": interlaced,
    "PNG, grey": partial(pillows, "PNG", "L"),
    "PNG with a palette": partial(pillows, "PNG", "P"),
    "PNG with an opacity": partial(pillows, "PNG", "RGBA"),
    "PNG with an opacity that leaves out": partial(pillows, "PNG", "RGBA", known=BLACK),
    "JPEG": partial(pillows, "JPEG"),
    "JPEG, 4:4:4, progressive": partial(pillows, "JPEG", subsampling=0, progressive=True),
    "JPEG, grey": partial(pillows, "JPEG", "L"),
    "JPEG of Planet's four components": planets,
    "WebP file": partial(pillows, "WEBP"),
    "WebP file without loss": partial(pillows, "WEBP", lossless=True),
    "WebP file with an opacity that leaves out": partial(
        pillows, "WEBP", "RGBA", lossless=True, exact=True, known=BLACK
    ),
    "JPEG 2000": partial(pillows, "JPEG2000"),
    "JPEG 2000 with loss": partial(pillows, "JPEG2000", irreversible=True, quality_layers=[10]),
    "JPEG 2000 codestream in tiles": partial(pillows, "JPEG2000", no_jp2=True, tile_size=(64, 64)),
    "JPEG 2000 with an opacity that leaves out": partial(pillows, "JPEG2000", "RGBA", known=BLACK),
    **{
        f"JPEG 2000 of one band of {dtype}, {bits} bits": partial(
            gdals, dtype, 1, driver="JP2OpenJPEG", quality=100, reversible="yes", nbits=bits
        )
        for dtype, bits in (("uint16", 16), ("uint16", 15), ("uint16", 12), ("int16", 16))
    },
    "JPEG 2000, grey": partial(pillows, "JPEG2000", "L"),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_pixels_are_those_that_gdal_reads(encoding: str) -> None:
    data, spec = ENCODINGS[encoding]()
    chip_HWC = decode_chip(data, spec)
    assert chip_HWC.dtype == spec.dtype
    np.testing.assert_array_equal(chip_HWC, wanted(read(data), spec))


@pytest.mark.parametrize(("dtype", "bands"), [("uint8", 3), ("uint16", 4)])
@pytest.mark.parametrize("tile", [None, (32, 48)])
def test_jpeg_2000_in_a_tiff_which_gdal_does_not_read(dtype: str, bands: int, tile: Any) -> None:  # noqa: ANN401
    data, spec = tifffiles(dtype, bands, compression="jpeg2000", planarconfig="contig", tile=tile)
    np.testing.assert_array_equal(decode_chip(data, spec), painted(dtype, bands))


def test_lerc_of_reversed_bytes_is_refused() -> None:
    """What GDAL makes of big-endian numbers are other numbers, which LERC may change."""
    assert decode_chip(*gdals(compress="lerc", endianness="big", **LERC)).shape == painted().shape
    with pytest.raises(ChipError, match="LERC in big-endian order"):
        decode_chip(*gdals("uint16", 4, compress="lerc", endianness="big", **LERC))
