"""Verdicts with their places → rows of a layer, one column per fact.

Every format has the same columns, so that a query or a style fits all. The parts of a map that
is being made are Parquet files of this schema; the formats beside this file are made from them.
"""

import json
from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple

import pyarrow as pa
import shapely
from shapely.geometry import shape

from service.contract.bundle import Bundle
from service.engine.verdict import Verdict
from service.scenes.place import Place

_METADATA = b"chipvote"
_BEFORE = {
    "scene": pa.string(),
    "column": pa.int32(),
    "row": pa.int32(),
    "width": pa.int32(),
    "height": pa.int32(),
    "labels": pa.string(),  # with a space between
}
BOX = pa.struct([(side, pa.float64()) for side in ("xmin", "ymin", "xmax", "ymax")])
_AFTER = {
    "members": pa.int16(),
    "disagreement": pa.float32(),
    "nodata_share": pa.float32(),
    "error": pa.string(),
    "model": pa.string(),
    "version": pa.string(),
    "crs": pa.string(),
    "corners": pa.list_(pa.float64(), 8),
    "bbox": BOX,
    "geometry": pa.binary(),
}
_GDAL = {"fid", "geom", "ogc_fid"}  # columns that it makes


class Row(NamedTuple):
    """What is known of one window: a verdict, or why there is none."""

    place: Place
    verdict: Verdict | None
    failure: str | None = None
    crs: str | None = None  # of the scene: a code as "EPSG:32748", or WKT


class LabelColumns(NamedTuple):
    """What the columns of one label are called."""

    label: str
    predicted: str
    probability: str
    votes: str


class Legend(NamedTuple):
    """What a layer's label columns mean; kept in the schema's metadata."""

    model: str
    version: str
    labels: tuple[str, ...]

    @classmethod
    def of(cls, bundle: Bundle) -> "Legend":
        """Return a bundle's legend."""
        return cls(bundle.manifest.name, bundle.manifest.version, tuple(bundle.label_names))

    @classmethod
    def read(cls, schema: pa.Schema) -> "Legend":
        """Return the legend of a layer's schema."""
        known = json.loads(schema.metadata[_METADATA])
        return cls(known["model"], known["version"], tuple(known["labels"]))

    def columns(self) -> list[LabelColumns]:
        """Name each label's columns."""
        names = label_names(self.labels, ("", "p_", "votes_"), {*_BEFORE, *_AFTER})
        return [LabelColumns(label, *own) for label, own in zip(self.labels, names, strict=True)]

    def metadata(self) -> dict[bytes, str]:
        """Return what `read` reads, for a schema."""
        return {_METADATA: json.dumps(self._asdict())}

    def schema(self) -> pa.Schema:
        """Return the schema of the layer's parts."""
        columns = self.columns()
        fields = {
            **_BEFORE,
            **{column.predicted: pa.bool_() for column in columns},
            **{column.probability: pa.float32() for column in columns},
            **{column.votes: pa.int32() for column in columns},
            **_AFTER,
        }
        return pa.schema(list(fields.items()), self.metadata())

    def batch(self, rows: Sequence[Row]) -> pa.RecordBatch:
        """Put rows of this legend into columns; see `batch`."""
        schema, columns = self.schema(), self.columns()
        table: dict[str, list[Any] | pa.Array] = {
            **_places([row.place for row in rows]),
            **{name: [] for name in ("labels", "members", "disagreement", "nodata_share")},
            "error": [row.failure for row in rows],
            "model": [self.model] * len(rows),
            "version": [self.version] * len(rows),
            "crs": [row.crs for row in rows],
        }
        verdicts = [row.verdict for row in rows]
        for index, column in enumerate(columns):
            table[column.predicted] = [v and v.predicted[index] for v in verdicts]
            table[column.probability] = [v and v.probabilities[index] for v in verdicts]
            table[column.votes] = [v and v.votes[index] for v in verdicts]
        table["labels"] = [v and _label_set(v, self.labels) for v in verdicts]
        table["members"] = [v and v.members for v in verdicts]
        table["disagreement"] = [v and disagreement(v.member_probabilities) for v in verdicts]
        table["nodata_share"] = [v and v.blank for v in verdicts]
        return pa.record_batch([pa.array(table[field.name], field.type) for field in schema], schema=schema)


def label_names(labels: Sequence[str], prefixes: Sequence[str], taken: set[str]) -> list[list[str]]:
    """Name columns for each label, one with each prefix, with underscores where a name is taken.

    Databases do not tell upper from lower case in names, so neither does this.
    """
    used = {name.lower() for name in taken | _GDAL}

    def free(name: str) -> str:
        while name.lower() in used:
            name += "_"
        used.add(name.lower())
        return name

    columns = [[free(prefix + label) for label in labels] for prefix in prefixes]
    return [list(own) for own in zip(*columns, strict=True)]


def schema(bundle: Bundle) -> pa.Schema:
    """Return the schema of a bundle's layers."""
    return Legend.of(bundle).schema()


def batch(rows: Sequence[Row], bundle: Bundle) -> pa.RecordBatch:
    """Put rows into columns.

    A row without a verdict has its place and its error, and nothing else. A place of no width is
    that of a whole file: it has no pixels and no corners.
    """
    return Legend.of(bundle).batch(rows)


def disagreement(members_LM: Sequence[Sequence[float]]) -> float | None:
    """Return how far the members' probabilities of one label lie apart, where they do most.

    None without them.
    """
    return max((max(members_M) - min(members_M) for members_M in members_LM), default=None)


def _label_set(verdict: Verdict, labels: Sequence[str]) -> str:
    return " ".join([label for label, found in zip(labels, verdict.predicted, strict=True) if found])


def _places(places: Sequence[Place]) -> dict[str, list[Any] | pa.Array]:
    shapes = [place.geometry and shape(place.geometry) for place in places]
    pixels = {
        name: [getattr(place, name) if place.width else None for place in places]
        for name in ("column", "row", "width", "height")
    }
    return {
        "scene": [place.scene for place in places],
        **pixels,
        "corners": [[*chain(*place.corners)] if place.width else None for place in places],
        "bbox": [found and dict(zip(BOX.names, found.bounds, strict=True)) for found in shapes],
        "geometry": [found and shapely.to_wkb(found, byte_order=1) for found in shapes],
    }
