"""Parts of a map → the finished files, each in the format that its name ends with."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path

from service.answers.layers import parts
from service.answers.layers.errors import LayerError

FORMATS = {".parquet": "geoparquet", ".gpkg": "geopackage", ".geojson": "geojson", ".tif": "raster"}
RASTER = ".tif"


def check_outputs(outs: Sequence[Path], scenes: Sequence[str]) -> None:
    """Refuse, before hours of work, files that could not be written after it.

    Raises:
        LayerError: says which, and what would do.
    """
    parts.check_outputs(outs, FORMATS, scenes)
    if len(scenes) > 1 and (rasters := [out for out in outs if out.suffix == RASTER]):
        raise LayerError(
            f"{rasters[0]} would be the raster of {len(scenes)} scenes; write one for each, or .gpkg"
        )


def write_outputs(journal: Sequence[Path], outs: Sequence[Path]) -> None:
    """Write the finished files, one after the other; Ctrl-C waits for the one that is begun.

    Args:
        journal: the parts.
        outs: the files.

    Raises:
        LayerError: a format has no place for these rows.
        OSError: a file cannot be written.
    """
    # In a thread: Arrow and GDAL would take a Ctrl-C in their midst for a failure.
    with ThreadPoolExecutor(1, "outputs") as writer:
        for out in outs:
            write = import_module(f"service.answers.layers.{FORMATS[out.suffix]}").write
            writer.submit(write, journal, out).result()
