"""One chip's answer, and many of them as the columns of two tables: labels, and what had none.

The label columns are those of a map's layer, so a query fits both. Knows no files.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from service.answers.layers.rows import LabelColumns, Legend, label_names
from service.client.files import printable
from service.engine.verdict import Verdict
from service.scenes.stores import unsigned

_BEFORE = dict.fromkeys(("name", "labels"), pa.string())
_AFTER = {
    "members": pa.int16(),
    "nodata_share": pa.float32(),
    **dict.fromkeys(("digest", "duplicate_of", "model", "version"), pa.string()),
}
ERRORS = pa.schema([(name, pa.string()) for name in ("name", "address", "title", "reason")])


class Row(NamedTuple):
    """What is known of one input: a verdict, or why there is none."""

    name: str
    address: str
    digest: str = ""  # BLAKE2b of its bytes, 128 bits in hexadecimal digits
    verdict: Verdict | None = None
    title: str = ""  # of the error
    reason: str = ""
    duplicate_of: str | None = None  # the first input with these bytes


def label_columns(legend: Legend) -> list[LabelColumns]:
    """Name each label's columns."""
    names = label_names(legend.labels, ("", "p_", "votes_"), {*_BEFORE, *_AFTER})
    return [LabelColumns(label, *own) for label, own in zip(legend.labels, names, strict=True)]


def schema(legend: Legend) -> pa.Schema:
    """Return the columns of the labels."""
    columns = label_columns(legend)
    fields = {
        **_BEFORE,
        **{column.predicted: pa.bool_() for column in columns},
        **{column.probability: pa.float32() for column in columns},
        **{column.votes: pa.int32() for column in columns},
        **_AFTER,
    }
    return pa.schema(list(fields.items()), legend.metadata())


def labels(rows: Sequence[Row], legend: Legend) -> pa.RecordBatch:
    """Put the rows that have a verdict into columns, in their order."""
    found = [(row, row.verdict) for row in rows if row.verdict]
    table: dict[str, list[Any]] = {
        "name": [printable(row.name) for row, _ in found],
        "labels": [
            " ".join(label for label, there in zip(legend.labels, verdict.predicted, strict=True) if there)
            for _, verdict in found
        ],
        "members": [verdict.members for _, verdict in found],
        "nodata_share": [verdict.blank for _, verdict in found],
        "digest": [row.digest for row, _ in found],
        "duplicate_of": [row.duplicate_of and printable(row.duplicate_of) for row, _ in found],
        "model": [legend.model] * len(found),
        "version": [legend.version] * len(found),
    }
    for index, column in enumerate(label_columns(legend)):
        table[column.predicted] = [verdict.predicted[index] for _, verdict in found]
        table[column.probability] = [verdict.probabilities[index] for _, verdict in found]
        table[column.votes] = [verdict.votes[index] for _, verdict in found]
    kinds = schema(legend)
    return pa.record_batch([pa.array(table[field.name], field.type) for field in kinds], schema=kinds)


def errors(rows: Sequence[Row]) -> pa.RecordBatch:
    """Put the rows that have none into columns, in their order."""
    found = [row._replace(address=unsigned(row.address)) for row in rows if not row.verdict]
    table = {name: [printable(getattr(row, name)) for row in found] for name in ERRORS.names}
    return pa.record_batch([pa.array(table[name]) for name in ERRORS.names], schema=ERRORS)
