"""A GeoTIFF's header → a scene: the bands that a bundle needs, where it lies, what it leaves out.

Reads no pixels.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from math import inf, sqrt
from typing import TYPE_CHECKING

from service.contract.chips.arrangement import Samples
from service.contract.chips.bands import RGB, takes_pictures
from service.contract.errors import WrongBands
from service.contract.manifest import InputSpec
from service.scenes.errors import LackingExtra, SceneError
from service.scenes.ground import Ground
from service.scenes.opening import open_tiff
from service.scenes.samples import Palette, told_bands
from service.scenes.stores import shown

if TYPE_CHECKING:
    import rasterio

logger = logging.getLogger("chipvote")


@dataclass(frozen=True)
class Scene:
    """A scene, closed: `open_tiff(scene.address)` opens it for a thread."""

    name: str  # what the answers call it
    address: str
    width: int  # in pixels
    height: int
    crs: str | None  # a code as "EPSG:32748", or WKT
    ground: Ground
    pixel_m: tuple[float, float] | None  # ground metres along a row and down a column, in the middle
    samples: Samples
    indexes: tuple[int, ...]  # of the bands that are read, from 1
    bands: tuple[str, ...]  # their names
    palette: Palette  # the colours of an only band's values
    nodata: float | None
    masked: bool  # by a mask or an opacity inside the file
    block: tuple[int, int]  # width and height of a tile or strip
    overviews: tuple[int, ...]  # how many times coarser each is

    @property
    def resolution_m(self) -> float | None:
        """Ground metres of a pixel's side; of one that is not square the mean."""
        return sqrt(self.pixel_m[0] * self.pixel_m[1]) if self.pixel_m else None


def open_scene(
    address: str, spec: InputSpec, *, name: str | None = None, nodata: float | None = None
) -> Scene:
    """Read a scene's header.

    Args:
        address: as `open_tiff` takes it.
        spec: what the bundle takes.
        name: of the scene; by default its address, without secrets.
        nodata: the value of what it leaves out, in place of what the file says.

    Raises:
        SceneError: says what is wrong with it, and what would do.
        LackingExtra: a package is not there.
    """
    name = name or shown(address)
    try:
        with open_tiff(address) as dataset:
            return _read(dataset, address, name, spec, nodata)
    except SceneError as error:
        raise type(error)(f"{name}: {error}") from error
    except WrongBands as error:
        raise SceneError(f"{name}: {error}") from error
    except (MemoryError, LackingExtra):
        raise
    except Exception as error:  # what a damaged or hostile header makes GDAL raise has no end
        logger.debug("GDAL refused a header: %r", error)
        raise SceneError(f"{name}: its header is damaged; copy it anew") from error


def _read(
    dataset: rasterio.DatasetReader, address: str, name: str, spec: InputSpec, nodata: float | None
) -> Scene:
    if dataset.gcps[0] and dataset.transform.is_identity:
        raise SceneError("it lies on the ground by control points alone; warp it to a grid (gdalwarp)")
    if not 0 < abs(dataset.transform.determinant) < inf:
        raise SceneError("its pixels have no area on the ground; write its georeference anew (gdal_edit.py)")
    samples, names, palette = told_bands(dataset, spec)
    wanted = {*spec.bands, *(RGB if takes_pictures(spec) else ())}
    contest = bool(samples.extra)  # whose fourth band is looked at, too, and is no mask
    kept = [(index, band) for index, band in enumerate(names, 1) if band in wanted or contest]
    ground = Ground(dataset.crs.to_wkt() if dataset.crs else None, dataset.transform)
    flags = {flag.name for flag in dataset.mask_flag_enums[0]}
    block_height, block_width = dataset.block_shapes[0]
    return Scene(
        name=name,
        address=address,
        width=dataset.width,
        height=dataset.height,
        crs=_code(dataset.crs),
        ground=ground,
        pixel_m=ground.pixel_m(dataset.width, dataset.height),
        samples=samples,
        indexes=tuple(index for index, _ in kept) if samples.bands > 1 else (1,),
        bands=tuple(band for _, band in kept),
        palette=palette,
        nodata=dataset.nodata if nodata is None else nodata,
        masked=nodata is None and "per_dataset" in flags and not contest,
        block=(block_width, block_height),
        overviews=() if palette else tuple(dataset.overviews(1)),
    )


def _code(crs: rasterio.crs.CRS | None) -> str | None:
    """Return a system's code, or its WKT."""
    if not crs:
        return None
    authority = crs.to_authority(confidence_threshold=100)
    return ":".join(authority) if authority else str(crs.to_wkt())
