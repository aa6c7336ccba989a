"""Parts → one GeoPackage, which every GIS opens: a table with a spatial index, and QGIS's style.

Source: OGC GeoPackage 1.2; the table `layer_styles` as QGIS makes it.
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
from service.answers.layers.style import qml

LAYER = "chipvote"
_GEOMETRY = "geom"
_POLYGON = b"\x01\x03"  # how its WKB begins
_OF_ONE = b"\x01\x06\x00\x00\x00\x01\x00\x00\x00"  # WKB of a multipolygon of one, up to that one
_VERSION = "1.2"  # of the format: older programs warn of later ones
_TIME = "1970-01-01T00:00:00.000Z"  # of every change: equal rows make equal files


def write(parts: Sequence[Path], out: Path, style: str | None = None) -> None:
    """Write one table of all rows; its bytes depend on the rows and their order alone.

    Args:
        parts: Parquet files with the schema of `rows.py`, at least one.
        out: where to, ending in `.gpkg`.
        style: for QGIS, which is kept inside; None for one by label sets.
    """
    with whole(out) as partial:
        schema = schema_of(parts)
        _write(schema, batches(parts), style or qml(schema, batches(parts)), partial)


def encoded(table: pa.Table) -> bytes:
    """Return the file's bytes for a table with the schema of `rows.py`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "layer.gpkg")
        found = table.to_batches()
        _write(table.schema, found, qml(table.schema, found), path)
        return path.read_bytes()


def _write(schema: pa.Schema, found: Iterable[pa.RecordBatch], style: str, path: Path) -> None:
    legend = Legend.read(schema)
    rows = pa.RecordBatchReader.from_batches(flat_schema(schema), map(_of_one_type, found))
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
            dataset_options={"VERSION": _VERSION},
            layer_options={"GEOMETRY_NAME": _GEOMETRY, "IDENTIFIER": f"{legend.model} {legend.version}"},
        )
        write_arrow(
            _styles(style, legend),
            path,
            "layer_styles",
            "GPKG",
            append=True,
            layer_options={"DATETIME_PRECISION": "MILLISECOND"},  # all that the standard allows
        )


def _styles(style: str, legend: Legend) -> pa.Table:
    """Return the row by which QGIS finds the layer's default style."""
    return pa.table(
        {
            "f_table_catalog": [""],
            "f_table_schema": [""],
            "f_table_name": [LAYER],
            "f_geometry_column": [_GEOMETRY],
            "styleName": [f"{legend.model} {legend.version}"],
            "styleQML": [style],
            "styleSLD": [""],
            "useAsDefault": [True],
            "description": ["label sets"],
            "owner": [""],
            "ui": pa.nulls(1, pa.string()),
            "update_time": pa.array([0], pa.timestamp("ms", "UTC")),
        }
    )


def _of_one_type(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Make every geometry a multipolygon: a layer of two types is two layers to QGIS."""
    batch = flat(batch)
    found = batch["geometry"].to_pylist()
    multi = [_OF_ONE + wkb if wkb and wkb.startswith(_POLYGON) else wkb for wkb in found]
    at = batch.schema.get_field_index("geometry")
    return batch.set_column(at, batch.schema.field(at), pa.array(multi, pa.binary()))


@contextmanager
def _unchanging_time() -> Iterator[None]:
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": _TIME})
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": None})
