"""Rows in order → parts on disk, each whole or not there; at the end one file, if asked for.

The bytes of a part depend on its rows alone. Knows Parquet; not where rows come from.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from service.answers.layers.rows import Legend
from service.contract.files import atomic_write
from service.offline.bulk import rows as tables
from service.offline.bulk.copies import Copies
from service.offline.bulk.plan import Plan
from service.offline.bulk.rows import Row

ERRORS = "_errors"
PLAN_KEY = b"chipvote-plan"  # in the metadata of one file of all parts
_PART = re.compile(r"part-\d{5,}\.parquet")


class Counts(NamedTuple):
    """How many inputs have become what."""

    labelled: int
    failed: int


class Parts:
    """The parts of one output."""

    def __init__(self, folder: Path, legend: Legend, plan: Plan) -> None:
        self.folder, self._legend, self._plan = folder, legend, plan

    def path(self, number: int) -> Path:
        """Return where a part is."""
        return self.folder / f"part-{number:05}.parquet"

    def errors_path(self, number: int) -> Path:
        """Return where a part's errors are, if it has any."""
        return self.folder / ERRORS / self.path(number).name

    @property
    def done(self) -> int:
        """How many parts there are before the first that is missing."""
        return next((n for n in range(self._plan.parts) if not self.path(n).exists()), self._plan.parts)

    def size(self, number: int) -> int:
        """Return how many inputs a part has."""
        return min(self._plan.part, self._plan.chips - number * self._plan.part)

    def write(self, found: Iterable[Row], copies: Copies) -> Iterator[Row]:
        """Write what is missing; yield each row as it comes, a part's last once that is written.

        Args:
            found: a row for each input from the first missing part on, in order.
            copies: what was seen before, which learns what comes.
        """
        drawn = iter(found)
        for number in range(self.done, self._plan.parts):
            part: list[Row] = []
            for row in islice(drawn, self.size(number)):
                part.append(copies.marked(row))
                if len(part) < self.size(number):
                    yield part[-1]
            assert len(part) == self.size(number), "an input has no row"
            self._write(number, part)
            yield part[-1]

    def counts(self) -> Counts:
        """Count what is there."""
        return Counts(_rows(self.folder), _rows(self.folder / ERRORS))

    def merge(self, out: Path, errors_out: Path) -> None:
        """Make one file of the parts, and one of their errors if there are any."""
        errors_out.unlink(missing_ok=True)
        if failed := parts_in(self.folder / ERRORS):
            _merge(failed, errors_out, tables.ERRORS)
        schema = tables.schema(self._legend)
        plan = {PLAN_KEY: self._plan.text().encode()}
        _merge(parts_in(self.folder), out, schema.with_metadata(schema.metadata | plan))

    def _write(self, number: int, part: Sequence[Row]) -> None:
        errors = tables.errors(part)
        if errors.num_rows:
            _write(errors, self.errors_path(number))
        else:
            self.errors_path(number).unlink(missing_ok=True)  # of a run that was ended before its part
        _write(tables.labels(part, self._legend), self.path(number))


def parts_in(folder: Path) -> list[Path]:
    """Return the parts of a folder, in order."""
    if not folder.is_dir():
        return []
    found = [path for path in folder.iterdir() if _PART.fullmatch(path.name)]
    return sorted(found, key=lambda path: (len(path.name), path.name))


def _write(batch: pa.RecordBatch, path: Path) -> None:
    with atomic_write(path) as partial:
        pq.write_table(pa.Table.from_batches([batch]), partial, compression="zstd")


def _merge(parts: Sequence[Path], out: Path, schema: pa.Schema) -> None:
    with atomic_write(out) as partial, pq.ParquetWriter(partial, schema, compression="zstd") as writer:
        for part in parts:
            writer.write_table(pq.read_table(part).replace_schema_metadata(schema.metadata))


def _rows(folder: Path) -> int:
    return sum(pq.read_metadata(part).num_rows for part in parts_in(folder))
