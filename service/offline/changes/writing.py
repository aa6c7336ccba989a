"""Differences → the page, or a layer of its own: a place for each pair, with what changed there.

Its columns before the labels' are `COLUMNS`; each label has what happened to it (1 it appeared,
-1 it disappeared), the change of its probability, and whether members dispute that.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import shapely

from service.answers.layers import geojson, geopackage, geoparquet
from service.answers.layers.parts import whole
from service.answers.layers.rows import BOX, Legend, label_names
from service.answers.layers.style import Rule, document
from service.offline.changes.differences import Bools, Differences
from service.offline.changes.look import LOOKS
from service.offline.changes.page import page

COLUMNS = {
    "before": pa.string(),  # scene or chip; so after
    "after": pa.string(),
    "share": pa.float32(),  # of the place before that is covered after
    "change": pa.string(),  # a `Kind`
    "appeared": pa.string(),  # labels, with a space between; so the next four
    "disappeared": pa.string(),
    "disputed": pa.string(),
    "labels_before": pa.string(),
    "labels_after": pa.string(),
}
_PLACE = {"bbox": BOX, "geometry": pa.binary()}
_PREFIXES = {"": pa.int8(), "p_": pa.float32(), "disputed_": pa.bool_()}
_LAYERS = {".parquet": geoparquet.write, ".gpkg": geopackage.write, ".geojson": geojson.write}
FORMATS = (".html", *_LAYERS)


def write(found: Differences, out: Path) -> None:
    """Write the page or the layer, as the name's end says, one of `FORMATS`."""
    if out.suffix == ".html":
        with whole(out) as partial:
            partial.write_text(page(found), encoding="utf-8")
        return
    style = document([Rule(f"\"change\" = '{kind}'", look.text, look.colour) for kind, look in LOOKS.items()])
    with TemporaryDirectory(dir=out.parent) as folder:
        part = Path(folder, "changes.parquet")
        pq.write_table(table(found), part)
        _LAYERS[out.suffix]([part], out, style)


def table(found: Differences) -> pa.Table:
    """Put differences into columns."""
    before, after, pairs = found.before, found.after, found.pairs
    shapes = before.geometries[pairs.before]
    there = ~shapely.is_missing(shapes)
    columns: dict[str, Any] = {
        "before": [before.keys[row] for row in pairs.before],
        "after": [after.keys[row] for row in pairs.after],
        "share": pairs.shares,
        "change": found.kinds(),
        "appeared": _sets(found.appeared_NL, found.labels),
        "disappeared": _sets(found.disappeared_NL, found.labels),
        "disputed": _sets(found.disputed_NL, found.labels),
        "labels_before": _sets(found.before_NL, found.labels),
        "labels_after": _sets(found.after_NL, found.labels),
    }
    fields = dict(COLUMNS)
    values: list[npt.NDArray[Any]] = [
        found.appeared_NL.astype(np.int8) - found.disappeared_NL.astype(np.int8),
        found.probs_after_NL - found.probs_before_NL,
        found.disputed_NL,
    ]
    names = label_names(found.labels, list(_PREFIXES), {*COLUMNS, *_PLACE})
    for kind, values_NL, own in zip(_PREFIXES.values(), values, zip(*names, strict=True), strict=True):
        fields |= dict.fromkeys(own, kind)
        columns |= dict(zip(own, values_NL.T, strict=True))
    bounds = shapely.bounds(shapes).tolist()
    columns["bbox"] = [
        dict(zip(BOX.names, box, strict=True)) if known else None
        for box, known in zip(bounds, there, strict=True)
    ]
    columns["geometry"] = shapely.to_wkb(shapes, byte_order=1)
    legend = Legend("changes", f"{before.name} to {after.name}", found.labels)
    schema = pa.schema([*fields.items(), *_PLACE.items()], legend.metadata())
    return pa.table([pa.array(columns[field.name], field.type) for field in schema], schema=schema)


def _sets(found_NL: Bools, labels: tuple[str, ...]) -> list[str]:
    return [
        " ".join([label for label, there in zip(labels, row, strict=True) if there])
        for row in found_NL.tolist()
    ]
