"""Parts → one GeoParquet file whose rows lie near each other where their places do.

Rows follow a Hilbert curve, so a row group is a compact piece of ground and a filter on `bbox`
skips the others without reading them.

Source: GeoParquet 1.1.0; the curve as in en.wikipedia.org/wiki/Hilbert_curve, xy2d.
"""

import json
import mmap
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from service.answers.layers.parts import batches, schema_of, whole
from service.answers.layers.style import write_style

_GROUP_ROWS = 4096
_BITS = 31  # of each coordinate: 2 cm on the equator
_SIDES = ("xmin", "ymin", "xmax", "ymax")
_TYPES = {3: "Polygon", 6: "MultiPolygon"}  # by WKB's code

Ints = npt.NDArray[np.int64]


def write(parts: Sequence[Path], out: Path, style: str | None = None) -> None:
    """Write one file of all rows; its bytes depend on the rows and their order alone.

    Places without a geometry come last. The bounding box of a place across the antimeridian goes
    from -180 to 180, so that a filter by comparisons finds it.

    Args:
        parts: Parquet files with the schema of `rows.py`, at least one.
        out: where to; a style for QGIS is written beside it.
        style: that one; None for one by label sets.
    """
    with whole(out) as partial, _in_one(parts, out.parent) as table:
        schema = table.schema.with_metadata({**table.schema.metadata, b"geo": json.dumps(_geo(table))})
        order = np.argsort(_distances(table), kind="stable")
        with pq.ParquetWriter(partial, schema, compression="zstd", write_page_index=True) as writer:
            for start in range(0, len(order), _GROUP_ROWS):
                writer.write_table(table.take(order[start : start + _GROUP_ROWS]))
    write_style(parts, out, style)


@contextmanager
def _in_one(parts: Sequence[Path], folder: Path) -> Iterator[pa.Table]:
    """Give all rows, on the disk: in whatever order they are taken, memory holds few of them."""
    with tempfile.TemporaryFile(dir=folder) as file:
        with pa.ipc.new_file(file, schema_of(parts)) as writer:
            for batch in batches(parts):
                writer.write_batch(batch)
        file.flush()
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        yield pa.ipc.open_file(pa.BufferReader(pa.py_buffer(mapped))).read_all()


def _geo(table: pa.Table) -> dict[str, Any]:
    codes = pc.binary_slice(pc.drop_null(table["geometry"]), 1, 2).unique().to_pylist()
    column = {
        "encoding": "WKB",
        "geometry_types": sorted(_TYPES[code[0]] for code in codes),
        "covering": {"bbox": {side: ["bbox", side] for side in _SIDES}},
    }
    if codes:
        ends = [pc.min, pc.min, pc.max, pc.max]
        sides = [pc.struct_field(table["bbox"], side) for side in _SIDES]
        column["bbox"] = [end(side).as_py() for end, side in zip(ends, sides, strict=True)]
    return {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}


def _distances(table: pa.Table) -> Ints:
    """Return how far along the curve each place's centre is."""
    west, south, east, north = (
        pc.struct_field(table["bbox"], side).to_numpy().astype(np.float64) for side in _SIDES
    )
    there = np.isfinite(west)
    x, y = ((west + east)[there] / 2 + 180) / 360, ((south + north)[there] / 2 + 90) / 180
    distances = np.full(len(there), np.iinfo(np.int64).max)
    distances[there] = hilbert((x * (2**_BITS - 1)).astype(np.int64), (y * (2**_BITS - 1)).astype(np.int64))
    return distances


def hilbert(x: Ints, y: Ints, bits: int = _BITS) -> Ints:
    """Return how far along the Hilbert curve points lie, on a grid of 2**bits × 2**bits."""
    distance = np.zeros_like(x)
    for bit in range(bits - 1, -1, -1):
        right, up = x >> bit & 1, y >> bit & 1
        distance += (3 * right ^ up) << 2 * bit
        mirrored = (up == 0) & (right == 1)
        x, y = np.where(mirrored, ~x, x), np.where(mirrored, ~y, y)  # of ~x, the lower bits matter
        x, y = np.where(up == 0, y, x), np.where(up == 0, x, y)
    return distance
