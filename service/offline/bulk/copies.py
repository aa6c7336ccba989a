"""Which bytes were answered before, and how: a table on disk, since there may be millions.

It only holds what the parts say, from which each run makes it anew.
"""

import json
import sqlite3
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq

from service.answers.layers.rows import Legend
from service.engine.verdict import Verdict
from service.offline.bulk.rows import Row, label_columns

_TABLE = "CREATE TABLE IF NOT EXISTS first (digest BLOB PRIMARY KEY, name TEXT, answer TEXT) WITHOUT ROWID"
_FIND = "SELECT name, answer FROM first WHERE digest = ?"
_ADD = "INSERT INTO first VALUES (?, ?, ?)"


class First(NamedTuple):
    """The first input with some bytes, and its answer."""

    name: str
    verdict: Verdict


class Copies:
    """The first input of all bytes seen; for threads, and for other processes to read."""

    def __init__(self, path: Path) -> None:
        """Open the table, or make it."""
        self.path, self._lock = path, threading.Lock()
        self._table = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=60)
        self._table.execute("PRAGMA journal_mode = WAL")  # readers and the one writer do not wait
        self._table.execute("PRAGMA synchronous = OFF")
        self._table.execute(_TABLE)

    def close(self) -> None:
        """Close the table."""
        self._table.close()

    def first(self, digest: str) -> First | None:
        """Return what these bytes were first."""
        with self._lock:
            found = self._table.execute(_FIND, (bytes.fromhex(digest),)).fetchone()
        return First(found[0], Verdict(**json.loads(found[1]))) if found else None

    def marked(self, row: Row) -> Row:
        """Return a row with its first copy, answered alike; what has none is one from now on."""
        if not row.verdict or not row.digest:
            return row
        if found := self.first(row.digest):
            return row._replace(duplicate_of=found.name, verdict=found.verdict)
        answer = row.verdict._replace(member_probabilities=[], evidence=[])._asdict()
        with self._lock:
            self._table.execute(_ADD, (bytes.fromhex(row.digest), row.name, json.dumps(answer)))
        return row

    def learn(self, parts: Iterable[Path], legend: Legend) -> None:
        """Take in what parts say."""
        columns = label_columns(legend)
        for part in parts:
            self._table.execute("BEGIN")
            for cells in pq.read_table(part).to_pylist():
                verdict = Verdict(
                    [cells[column.probability] for column in columns],
                    [cells[column.votes] for column in columns],
                    [cells[column.predicted] for column in columns],
                    cells["members"],
                    blank=cells["nodata_share"],
                )
                self.marked(Row(cells["name"], "", cells["digest"], verdict))
            self._table.execute("COMMIT")
