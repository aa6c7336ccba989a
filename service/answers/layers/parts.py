"""A layer's parts on disk → its batches; and what is asked of files that are written.

Knows Parquet, how libraries say that a disk is full, and beside which files QGIS looks for a style;
no more of the formats that are written.
"""

import errno
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyogrio.errors import DataLayerError, DataSourceError

from service.answers.layers.errors import LayerError
from service.contract.files import atomic_write

STYLE, OURS = ".qml", "chipvote"  # QGIS loads it by itself for a file of that name; what ours all say
_STYLED = (".parquet", ".geojson", ".tif")
_NESTED = ("corners", "bbox")
# What GDAL says of a full disk; of a rollback, where SQLite has undone the rows by itself.
_FULL = ("no space left", "disk is full", "cannot rollback", "cannot write feature", "no such table")


def schema_of(parts: Sequence[Path]) -> pa.Schema:
    """Return the parts' schema.

    Args:
        parts: at least one; it may have no rows.
    """
    return pq.read_schema(parts[0])


def batches(parts: Sequence[Path]) -> Iterator[pa.RecordBatch]:
    """Read the parts, one after the other."""
    for part in parts:
        with pq.ParquetFile(part) as file:
            yield from file.iter_batches()


def flat_schema(schema: pa.Schema) -> pa.Schema:
    """Leave out the columns that a GIS's table has no place for."""
    return pa.schema([field for field in schema if field.name not in _NESTED], schema.metadata)


def flat(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Leave out those columns."""
    return batch.drop_columns([name for name in _NESTED if name in batch.schema.names])


def check_outputs(outs: Sequence[Path], formats: Iterable[str], sources: Iterable[str | Path]) -> None:
    """Refuse, before the work, files that could not be written after it, or that it reads.

    Args:
        outs: the files.
        formats: how their names may end.
        sources: paths of what is read; URLs are none.

    Raises:
        LayerError: says which, and what would do.
    """
    for out in outs:
        if out.suffix not in formats:
            raise LayerError(f"{out} is of no format that is written; use {', '.join(formats)}")
        if not out.parent.is_dir():
            raise LayerError(f"there is no folder {out.parent}; make it first")
        if not out.name.isprintable():  # a line break, or no text at all: GDAL writes elsewhere
            raise LayerError(f"{out!r} is no name that every program can open; give another")
        if out.is_dir():
            raise LayerError(f"{out} is a folder; give a file's name")
        if out.exists() and any(os.path.exists(one) and out.samefile(one) for one in sources):
            raise LayerError(f"{out} is what is read; give another name")
        if out.suffix in _STYLED:
            _check_style(out.with_suffix(STYLE), sources)
        try:
            tempfile.TemporaryFile(dir=out.parent).close()
        except OSError as error:
            raise LayerError(f"{out.parent} takes no file ({error.strerror}); write elsewhere") from error


def _check_style(style: Path, sources: Iterable[str | Path]) -> None:
    """Refuse a style that would take the place of another, or be taken for that of what is read."""
    if style.exists() and OURS not in style.read_text("utf-8", "replace"):
        raise LayerError(f"{style} is a style of yours, which would be replaced; give another name")
    for one in sources:
        if os.path.isfile(one) and Path(one).absolute().with_suffix(STYLE) == style.absolute():
            raise LayerError(
                f"QGIS would draw {one} by the layer's style, too ({style.name}); give another name, or .gpkg"
            )


@contextmanager
def whole(out: Path) -> Iterator[Path]:
    """Give a path to write to, as `atomic_write` does, and read what GDAL says of errors.

    Raises:
        OSError: with its number where the disk is full, whatever a library called that.
        LayerError: GDAL cannot write there for another reason.
    """
    try:
        with atomic_write(out) as partial:
            yield partial
    except Exception as error:
        if any(words in str(error).lower() for words in _FULL):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(out)) from error
        if isinstance(error, DataLayerError | DataSourceError):
            raise LayerError(f"{out} cannot be written ({error}); write it elsewhere") from error
        raise
