"""An address → an open GeoTIFF, by GDAL's driver for it and no other.

What GDAL would like to read beside it stays closed: files of overviews, masks and metadata could
be of any format, and lead anywhere.
"""

from __future__ import annotations

import logging
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from service.contract.errors import ServiceError
from service.scenes import remote
from service.scenes.errors import LackingExtra, NotAScene, SceneError
from service.scenes.stores import is_stored, shown, told

if TYPE_CHECKING:
    import rasterio

logger = logging.getLogger("chipvote")

CACHE_MIB = "256"  # of unpacked tiles, in the whole process
_OVERVIEWS = "OVERVIEWS"  # GDAL's domain of words that name another file
_LACKING = "scenes are read by rasterio, which is not installed: pip install 'chipvote[scenes]'"


def environment() -> rasterio.Env:
    """Return GDAL's settings for scenes; entered in every thread that opens or reads one.

    Raises:
        LackingExtra: rasterio is not there.
    """
    # GDAL looks once, at the first tile; rasterio's own way would end with each thread's turn.
    os.environ.setdefault("GDAL_CACHEMAX", CACHE_MIB)
    try:
        import rasterio
        from rasterio.errors import NotGeoreferencedWarning
    except ImportError as error:
        raise LackingExtra(_LACKING) from error
    # For the process, since `catch_warnings` is not for threads. Scenes tell it in their own way.
    warnings.simplefilter("ignore", NotGeoreferencedWarning)
    return rasterio.Env(
        GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR",
        GDAL_PAM_ENABLED=False,
        GDAL_NUM_THREADS=1,
        GTIFF_REPORT_COMPD_CS=False,
    )


def open_tiff(address: str) -> rasterio.DatasetReader:
    """Open a GeoTIFF, for one thread at a time.

    Args:
        address: a path, or a URL as in `stores`.

    Raises:
        NotAScene: there is none.
        LackingExtra: a package is not there.
    """
    with environment():
        import rasterio

        try:
            dataset = rasterio.open(**_place(address), driver="GTiff")
        except ServiceError:
            raise
        except Exception as error:  # a damaged or hostile file makes GDAL raise nearly anything
            logger.debug("GDAL refused a scene: %r", error)  # its words may name files of this machine
            fetched = "fetched and " if is_stored(address) else ""
            raise NotAScene(
                f"it cannot be {fetched}opened as a GeoTIFF; give a whole one that may be read"
            ) from error
        if _OVERVIEWS in dataset.tag_namespaces():
            dataset.close()
            raise SceneError("it names another file for its overviews; save it anew (gdal_translate -of COG)")
        return dataset


def state(address: str) -> list[Any]:
    """Return what changes when a scene does: its size, and when it was written or which it is.

    Raises:
        SceneError: it is not there any more.
    """
    try:
        if is_stored(address):
            return remote.state(address)
        found = Path(address).stat()
    except Exception as error:  # the stores' errors share no other base
        raise SceneError(f"{shown(address)}: it cannot be read any more ({told(error)})") from error
    return [found.st_size, found.st_mtime_ns]


def _place(address: str) -> dict[str, Any]:
    if is_stored(address):
        return {"fp": address, "opener": remote.opener(address)}
    if not os.path.isfile(address):  # unlike a Path's, for any text
        raise NotAScene("there is no such file; give a GeoTIFF")
    return {"fp": Path(address).absolute()}
