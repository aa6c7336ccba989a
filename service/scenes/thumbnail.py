"""A scene → a small picture of it, north up in Web Mercator, for a map to show.

Made from the overviews. Knows no windows and no labels.

Shape suffixes: H height, W width, C bands; 3 and 4 for colours, without and with opacity.

Source: EPSG:3857, whose sphere is taken here with the scene in the middle, so that the antimeridian
is nowhere near.
"""

from __future__ import annotations

import io
import logging
from math import atan, ceil, degrees, sinh
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
from affine import Affine
from PIL import Image

from service.contract.chips.bands import RGB
from service.contract.chips.tone import stretched
from service.contract.manifest import Pixel
from service.scenes.opening import environment, open_tiff
from service.scenes.reading import painted
from service.scenes.scene import Scene

if TYPE_CHECKING:
    import rasterio

logger = logging.getLogger("chipvote")

SIDE_PX = 1024  # at most
QUALITY = 80  # of the WebP
MOST_READ_PX = 1 << 24  # of the coarsest overview that is fine enough
_RADIUS_M = 6_378_137.0
_MERCATOR = "+proj=merc +a={radius} +b={radius} +lon_0={middle} +units=m +nadgrids=@null +wktext +no_defs"


class Thumbnail(NamedTuple):
    """A picture for a map in Web Mercator.

    `bounds` are degrees: west, south, east, north; across the antimeridian they go on beyond 180.
    """

    webp: bytes
    bounds: tuple[float, float, float, float]


def thumbnail(scene: Scene) -> Thumbnail | None:
    """Draw a scene; what it leaves out is clear.

    None where it does not say in which system it lies, where there is no way from there to Web
    Mercator, and for scenes without overviews that are too large to be read for a picture.
    """
    with environment():
        from rasterio.errors import RasterioError

        try:
            with open_tiff(scene.address) as dataset:
                return _thumbnail(dataset, scene)
        except RasterioError as error:
            logger.debug("GDAL drew no picture of a scene: %r", error)
            return None


def _thumbnail(dataset: rasterio.DatasetReader, scene: Scene) -> Thumbnail | None:
    from rasterio.vrt import WarpedVRT

    times = max(scene.width, scene.height) / SIDE_PX
    factor = max((each for each in scene.overviews if each <= times), default=1)
    width, height = ceil(scene.width / factor), ceil(scene.height / factor)
    if width * height > MOST_READ_PX or scene.ground.to_degrees is None:
        return None
    middle, _ = scene.ground.to_degrees.transform(*dataset.transform @ (scene.width / 2, scene.height / 2))
    with WarpedVRT(dataset, crs=_MERCATOR.format(radius=_RADIUS_M, middle=middle)) as warped:
        picture_HW4 = _picture(dataset, scene, (height, width))
        file = io.BytesIO()
        Image.fromarray(_north_up(picture_HW4, dataset, warped)).save(file, "WEBP", quality=QUALITY, method=2)
        return Thumbnail(file.getvalue(), _degrees(warped.bounds, middle))


def _picture(dataset: rasterio.DatasetReader, scene: Scene, shape: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Read an overview, of a height and a width, in natural colours and with opacity (H,W,4)."""
    samples_CHW = dataset.read(scene.indexes, out_shape=(len(scene.indexes), *shape))
    hidden = scene.masked or scene.nodata is not None
    shown_HW = dataset.read_masks(1, out_shape=shape) if hidden else np.full(shape, 255, np.uint8)
    colours_HW3 = _colours(painted(np.moveaxis(samples_CHW, 0, -1), scene), scene)
    return np.dstack([colours_HW3, shown_HW])


def _colours(pixels_HWC: npt.NDArray[Pixel], scene: Scene) -> npt.NDArray[np.uint8]:
    """Return red, green and blue, or else the first band in grey, as bytes."""
    visible = set(RGB) <= set(scene.bands)
    kept_HWC = pixels_HWC[..., [scene.bands.index(band) for band in RGB] if visible else [0]]
    shown_HWC = kept_HWC if kept_HWC.dtype == np.uint8 else stretched(kept_HWC, scene.nodata)
    return np.broadcast_to(shown_HWC, (*shown_HWC.shape[:2], 3)).astype(np.uint8)


def _north_up(
    picture_HW4: npt.NDArray[np.uint8], dataset: rasterio.DatasetReader, warped: rasterio.vrt.WarpedVRT
) -> npt.NDArray[np.uint8]:
    """Bring a scene's picture to the warped scene's grid, or a coarser one if that is too large."""
    from rasterio.warp import Resampling, reproject

    times = max(1.0, warped.width / SIDE_PX, warped.height / SIDE_PX)
    width, height = max(1, round(warped.width / times)), max(1, round(warped.height / times))
    shrunk = Affine.scale(dataset.width / picture_HW4.shape[1], dataset.height / picture_HW4.shape[0])
    warped_4HW = np.zeros((4, height, width), np.uint8)
    reproject(
        np.moveaxis(picture_HW4, -1, 0),
        warped_4HW,
        src_transform=dataset.transform @ shrunk,
        src_crs=dataset.crs,
        dst_transform=warped.transform @ Affine.scale(warped.width / width, warped.height / height),
        dst_crs=warped.crs,
        resampling=Resampling.average,
    )
    return np.ascontiguousarray(np.moveaxis(warped_4HW, 0, -1))


def _degrees(bounds_m: tuple[float, float, float, float], middle: float) -> tuple[float, float, float, float]:
    """Return bounds in degrees (Snyder 1987, p. 44)."""
    west, south, east, north = (edge / _RADIUS_M for edge in bounds_m)
    turn = middle + (360 if middle + degrees(west) < -180 else 0)
    low, high = (degrees(atan(sinh(edge))) for edge in (south, north))
    return turn + degrees(west), low, turn + degrees(east), high
