"""Parts → one GeoJSON file, for the web and for programs without a GIS.

Source: RFC 7946.
"""

import errno
import os
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
from pyogrio.raw import write_arrow

from service.answers.layers.parts import batches, flat, flat_schema, schema_of, whole
from service.answers.layers.rows import Legend
from service.answers.layers.style import write_style

_DECIMALS = 7  # of a degree: a centimetre

_END = b"]\n}\n"


def write(parts: Sequence[Path], out: Path, style: str | None = None) -> None:
    """Write one collection of all rows; its bytes depend on the rows and their order alone.

    Args:
        parts: Parquet files with the schema of `rows.py`, at least one.
        out: where to, ending in `.geojson`; a style for QGIS is written beside it.
        style: that one; None for one by label sets.
    """
    schema = schema_of(parts)
    legend = Legend.read(schema)
    rows = pa.RecordBatchReader.from_batches(flat_schema(schema), map(flat, batches(parts)))
    with whole(out) as partial:
        write_arrow(
            rows,
            partial,
            driver="GeoJSON",
            geometry_name="geometry",
            geometry_type="Unknown",
            crs="EPSG:4326",
            layer_options={
                "RFC7946": "YES",
                "COORDINATE_PRECISION": str(_DECIMALS),
                "DESCRIPTION": f"{legend.model} {legend.version}",
                "WRITE_NAME": "NO",  # it would be that of the partial file
            },
        )
        _check_end(partial)
    write_style(parts, out, style)


def _check_end(path: Path) -> None:
    """Refuse a file that was cut short: GDAL does not say so when its last bytes had no space."""
    with path.open("rb") as stream:
        stream.seek(max(path.stat().st_size - len(_END), 0))
        if stream.read() != _END:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
