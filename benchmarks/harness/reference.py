"""The pixels of a file as GDAL reads them, by rasterio: what the decoder is compared with.

Shape suffixes: H height, W width, C bands, V values of a palette.
"""

import io
import warnings
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import MemoryFile


class Reading(NamedTuple):
    """What GDAL finds in a file."""

    pixels_HWC: npt.NDArray[Any]  # a palette's colours, not its indices
    shown_HWC: npt.NDArray[np.bool_]  # what no value, opacity or mask leaves out
    names: tuple[str, ...]  # of the bands, by their descriptions or else their colours


def header(data: bytes) -> tuple[tuple[int, int], int, str]:
    """Return a file's width and height, number of bands and number type.

    Raises:
        rasterio.errors.RasterioError: GDAL cannot read it.
    """
    with MemoryFile(data) as memory, memory.open() as file:
        return (file.width, file.height), file.count, file.dtypes[0]


def read(data: bytes) -> Reading:
    """Read a whole file.

    Raises:
        rasterio.errors.RasterioError: GDAL cannot.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with MemoryFile(data) as memory, memory.open() as file:
            pixels_HWC, masks_HWC = (np.moveaxis(read(), 0, -1) for read in (file.read, file.read_masks))
            names = tuple(name or "" for name in file.descriptions)
            colours = tuple(each.name for each in file.colorinterp)
            if colours == ("palette",):
                table = file.colormap(1)
                table_VC = np.array([table.get(value, (0,) * 4) for value in range(256)], np.uint8)
                coloured_HWC = table_VC[pixels_HWC[..., 0]]
                pixels_HWC, masks_HWC = coloured_HWC[..., :3], masks_HWC & coloured_HWC[..., 3:]
            # GDAL comes with IJG's libjpeg 9 here, which interpolates coarser colours by its DCT
            # and rounds differently; Pillow with libtiff and libjpeg-turbo, as GDAL elsewhere.
            if any("YCbCr" in value for value in file.tags(ns="IMAGE_STRUCTURE").values()):
                pixels_HWC = np.asarray(Image.open(io.BytesIO(data)))
    return Reading(pixels_HWC, masks_HWC != 0, names if any(names) else colours)
