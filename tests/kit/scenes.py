"""Scenes on disk, written by rasterio.

Shape suffixes: H height, W width, C bands.
"""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from affine import Affine
from rasterio.errors import NotGeoreferencedWarning

from tests.kit.fakes import BLUE, GREEN, RED, SIZE_PX

UTM = "EPSG:32637"
NORTH_UP = Affine(0.5, 0, 500_000, 0, -0.5, 5_000_000)  # 0.5 m
COLOURS = {"reddish": RED, "greenish": GREEN, "bluish": BLUE}


def write_scene(
    path: Path,
    pixels_HWC: npt.NDArray[Any],
    *,
    crs: str | None = UTM,
    transform: Affine = NORTH_UP,
    mask_HW: npt.NDArray[np.bool_] | None = None,
    overviews: tuple[int, ...] = (),
    descriptions: tuple[str, ...] = (),
    **profile: Any,  # noqa: ANN401
) -> Path:
    """Write a GeoTIFF; `mask_HW` goes inside it, other words are options of GDAL's driver."""
    height, width, count = pixels_HWC.shape
    form = {"width": width, "height": height, "count": count, "dtype": pixels_HWC.dtype, **profile}
    with warnings.catch_warnings(), rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, "w", driver="GTiff", crs=crs, transform=transform, **form) as dataset:
            dataset.write(np.moveaxis(pixels_HWC, -1, 0))
            if mask_HW is not None:
                dataset.write_mask(mask_HW)
            for band, text in enumerate(descriptions, 1):
                dataset.set_band_description(band, text)
            if overviews:
                dataset.build_overviews(overviews, rasterio.enums.Resampling.average)
    return path


def write_empty(path: Path, width: int, height: int, count: int = 3, **profile: Any) -> Path:  # noqa: ANN401
    """Write a GeoTIFF of which no tile is there: its header alone, however large it is."""
    form = {"width": width, "height": height, "count": count, "dtype": "uint8", "sparse_ok": True, **profile}
    with rasterio.open(path, "w", driver="GTiff", crs=UTM, transform=NORTH_UP, photometric="RGB", **form):
        pass
    return path


def noise(height: int, width: int, bands: int = 3, dtype: str = "uint8") -> npt.NDArray[Any]:
    """Pixels (H,W,C) of which no two windows are alike."""
    most = 256 if dtype == "uint8" else 10_000
    return np.random.default_rng(0).integers(1, most, (height, width, bands)).astype(dtype)


def patchwork(
    rows: int, columns: int, side_px: int = SIZE_PX
) -> tuple[npt.NDArray[np.uint8], list[list[str]]]:
    """Return blocks of one colour each (H,W,3), and what the tiny bundles call each, by row."""
    names = [[list(COLOURS)[(row + 2 * column) % 3] for column in range(columns)] for row in range(rows)]
    blocks = np.array([[COLOURS[name] for name in row] for row in names], np.uint8)
    return blocks.repeat(side_px, 0).repeat(side_px, 1), names
