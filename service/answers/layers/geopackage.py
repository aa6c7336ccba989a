"""Parts → one GeoPackage, which every GIS opens: a table with a spatial index, and QGIS's style.

Source: OGC GeoPackage 1.4; the table `layer_styles` as QGIS makes it.
"""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyogrio
from pyogrio.raw import write_arrow

from service.answers.layers.parts import batches, flat, flat_schema, schema_of, whole
from service.answers.layers.rows import Legend

LAYER = "chipvote"
_TIME = "1970-01-01T00:00:00.000Z"  # of every change: equal rows make equal files


def write(parts: Sequence[Path], out: Path) -> None:
    """Write one table of all rows; its bytes depend on the rows and their order alone.

    Args:
        parts: Parquet files with the schema of `rows.py`, at least one.
        out: where to, ending in `.gpkg`.
    """
    with whole(out) as partial:
        _write(schema_of(parts), batches(parts), partial)


def encoded(table: pa.Table) -> bytes:
    """Return the file's bytes for a table with the schema of `rows.py`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "layer.gpkg")
        _write(table.schema, table.to_batches(), path)
        return path.read_bytes()


def _write(schema: pa.Schema, found: Iterable[pa.RecordBatch], path: Path) -> None:
    legend = Legend.read(schema)
    rows = pa.RecordBatchReader.from_batches(flat_schema(schema), (flat(batch) for batch in found))
    with _unchanging_time():
        write_arrow(
            rows,
            path,
            LAYER,
            "GPKG",
            "geometry",
            "MultiPolygon",
            "EPSG:4326",
            layer_metadata={
                "model": legend.model,
                "version": legend.version,
                "labels": "\n".join(legend.labels),
            },
            layer_options={"IDENTIFIER": f"{legend.model} {legend.version}"},
        )


@contextmanager
def _unchanging_time() -> Iterator[None]:
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": _TIME})
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": None})
