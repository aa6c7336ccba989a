"""A layer's parts on disk → its batches; and files that are whole or not there.

Knows Parquet, and how libraries say that a disk is full; knows no format that is written.
"""

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

_NESTED = ("corners", "bbox")
# What GDAL says of a full disk; of a rollback, where SQLite has undone the rows by itself.
_FULL = ("no space left", "disk is full", "cannot rollback", "cannot write feature")


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


@contextmanager
def whole(out: Path) -> Iterator[Path]:
    """Give a path to write to, renamed to `out` when the block ends without error.

    Raises:
        OSError: with its number where the disk is full, whatever a library called that.
    """
    partial = out.with_name(f"partial-{out.name}")  # the suffix stays last because GDAL looks at it
    try:
        partial.unlink(missing_ok=True)  # of a process that was killed: GDAL would add to it
        yield partial
        with partial.open("rb") as stream:
            os.fsync(stream.fileno())  # or a power cut could leave an empty file under the final name
        partial.replace(out)
    except Exception as error:
        if any(words in str(error).lower() for words in _FULL):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(out)) from error
        raise
    finally:
        partial.unlink(missing_ok=True)
