"""Parts of a map → the finished files, each in the format that its name ends with."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from service.contract.errors import StartupError

FORMATS = {".parquet": "geoparquet", ".gpkg": "geopackage", ".geojson": "geojson", ".tif": "raster"}
RASTER = ".tif"


class OutputError(StartupError):
    """Raised when no finished file can be written where it is asked for."""


def check_outputs(outs: Sequence[Path], scenes: Sequence[str]) -> None:
    """Refuse, before hours of work, files that could not be written after it.

    Raises:
        OutputError: says which, and what would do.
    """
    for out in outs:
        if out.suffix not in FORMATS:
            raise OutputError(f"{out} is of no format that is written; use {', '.join(FORMATS)}")
        if not out.parent.is_dir():
            raise OutputError(f"there is no folder {out.parent}; make it first")
        if out.exists() and (not out.is_file() or any(map(out.samefile, filter(os.path.exists, scenes)))):
            raise OutputError(f"{out} is a scene, or no file; it is not replaced: name another")
        if out.suffix == RASTER and len(scenes) > 1:
            raise OutputError(
                f"{out} would be the raster of {len(scenes)} scenes; write one for each, or .gpkg"
            )


def write_outputs(parts: Sequence[Path], outs: Sequence[Path]) -> None:
    """Write the finished files, one after the other.

    Raises:
        LayerError: a format has no place for these rows.
        OSError: a file cannot be written.
    """
    for out in outs:
        import_module(f"service.answers.layers.{FORMATS[out.suffix]}").write(parts, out)
