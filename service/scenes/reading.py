"""Windows of a scene → chips as the bundle wants them, read ahead in threads.

A chip is what the chips' own reader would make of the same window cut out by GDAL: the same bands,
the same values where nothing is shown, resized by the same code. Only where the scene has an
overview fine enough is it read from that.

Shape suffixes: H height, W width, C bands.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from queue import SimpleQueue
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from service.contract.chips.arrangement import check_infrared
from service.contract.chips.decode import brought, enough_memory, resized
from service.contract.chips.values import blank_shares, check_values
from service.contract.errors import CorruptChip, ServiceError, is_shortage
from service.contract.manifest import InputSpec, Pixel
from service.engine.ahead import ahead
from service.scenes import remote
from service.scenes.errors import SceneError, Skipped
from service.scenes.grid import Grid, overview
from service.scenes.opening import environment, open_tiff
from service.scenes.place import Place
from service.scenes.scene import Scene

if TYPE_CHECKING:
    import rasterio

logger = logging.getLogger("chipvote")

Chip = npt.NDArray[Pixel]  # (H,W,C)
MAX_NODATA = 0.5  # share of a window


def read_chips(
    grid: Grid, spec: InputSpec, threads: int, *, first: int = 0, max_nodata: float = MAX_NODATA
) -> Iterator[tuple[Place, Chip | ServiceError]]:
    """Read a scene's windows in the grid's order.

    Args:
        grid: the windows.
        spec: what the bundle takes.
        threads: that read, each from a handle of its own.
        first: number of the first window.
        max_nodata: windows of which a larger share shows nothing are skipped; and those that show
            nothing at all.

    Yields:
        Each window with its chip; or with `Skipped`, or with the reason why there is none, which
        concerns this window alone.

    Raises:
        SceneError: the scene is not there any more, or cannot be fetched.
    """
    with ExitStack() as opened:
        # All are opened and closed here: rasterio cannot close a remote file in another thread.
        handles: SimpleQueue[rasterio.DatasetReader] = SimpleQueue()
        for _ in range(threads):
            handles.put(opened.enter_context(_opened(grid.scene)))

        def read_group(group: list[int]) -> list[tuple[Place, Chip | ServiceError]]:
            handle = handles.get()
            try:
                with environment():
                    places = [grid[index] for index in group]
                    return [(place, _chip(handle, grid.scene, place, spec, max_nodata)) for place in places]
            finally:
                handles.put(handle)

        with ThreadPoolExecutor(threads, "scene") as pool:
            for chips in ahead(pool, read_group, grid.groups(first), threads + 1):
                yield from chips


def _chip(
    dataset: rasterio.DatasetReader, scene: Scene, place: Place, spec: InputSpec, max_nodata: float
) -> Chip | ServiceError:
    try:
        with enough_memory():
            samples_HWC, blank_HWC = _window(dataset, scene, place, spec)
            share = _blank_share(samples_HWC, blank_HWC, spec)
            if share > max_nodata or share == 1:
                return Skipped(f"{share:.0%} of the window shows nothing")
            check_infrared(scene.samples, samples_HWC, spec)
            painted_HWC = painted(samples_HWC, scene)
            if spec.nodata is not None and samples_HWC.dtype == spec.dtype:
                np.copyto(painted_HWC, painted_HWC.dtype.type(spec.nodata), where=blank_HWC)
            pixels_HWC = brought(painted_HWC, scene.bands, spec)
            check_values(pixels_HWC, spec.bands, spec)
            return np.ascontiguousarray(resized(pixels_HWC, spec))
    except SceneError:
        raise
    except ServiceError as error:
        return error


def _opened(scene: Scene) -> rasterio.DatasetReader:
    try:
        return open_tiff(scene.address)
    except SceneError as error:
        raise type(error)(f"{scene.name}: {error}") from error


def _window(
    dataset: rasterio.DatasetReader, scene: Scene, place: Place, spec: InputSpec
) -> tuple[Chip, npt.NDArray[np.bool_]]:
    """Return what the bands hold (H,W,C), and which of it the scene leaves out (H,W,C or 1)."""
    from rasterio.enums import Resampling
    from rasterio.windows import Window

    factor = overview(scene, spec, place.width, place.height)
    asked = {
        "window": Window(place.column, place.row, place.width, place.height),
        "out_shape": (round(place.height / factor), round(place.width / factor)),  # of every band
    }
    try:
        samples_CHW = dataset.read(scene.indexes, resampling=Resampling.average, **asked)
        shown_HW = dataset.read_masks(1, **asked) if scene.masked else None
    except Exception as error:  # as of headers
        if is_shortage(error):
            raise MemoryError from error
        logger.debug("GDAL refused a window: %r", error)
        if reason := remote.failure(scene.address):
            raise SceneError(f"{scene.name}: it cannot be fetched any more ({reason})") from error
        raise CorruptChip(
            "the scene cannot be read here: it is cut short or damaged; copy it anew"
        ) from error
    samples_HWC = np.moveaxis(samples_CHW, 0, -1)
    if shown_HW is not None:
        return samples_HWC, shown_HW[..., np.newaxis] == 0
    if scene.nodata is None:
        return samples_HWC, np.zeros((1, 1, 1), np.bool_)
    return samples_HWC, np.isnan(samples_HWC) if np.isnan(scene.nodata) else samples_HWC == scene.nodata


def _blank_share(samples_HWC: Chip, blank_HWC: npt.NDArray[np.bool_], spec: InputSpec) -> float:
    """Return the share of the pixels that show nothing in any band."""
    if blank_HWC.size > 1 or spec.nodata is None:
        return float(blank_HWC.all(axis=2).mean())
    return float(blank_shares(samples_HWC[np.newaxis], spec.nodata)[0])


def painted(samples_HWC: Chip, scene: Scene) -> Chip:
    """Return the colours of a palette's values, and grey as the same for every colour."""
    if scene.palette:
        return np.asarray(np.array(scene.palette, np.uint8)[samples_HWC[..., 0]])
    if len(scene.bands) > samples_HWC.shape[2]:
        return np.repeat(samples_HWC, len(scene.bands), axis=2)
    return samples_HWC
