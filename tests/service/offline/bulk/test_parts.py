from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from service.answers.layers.rows import Legend
from service.engine.verdict import Verdict
from service.offline.bulk.copies import Copies
from service.offline.bulk.parts import Counts, Parts, parts_in
from service.offline.bulk.rows import Row
from tests.service.offline.bulk.test_plan import PLAN

LEGEND = Legend("colours", "1.2.3", ("reddish",))
VERDICT = Verdict([0.75], [3], [True], 3)
ROWS = [
    Row(f"{n}", f"/{n}", f"0{n}", VERDICT) if n != 4 else Row("4", "/4", title="Bad", reason="it is")
    for n in range(7)
]


@pytest.fixture
def copies(tmp_path: Path) -> Iterator[Copies]:
    found = Copies(tmp_path / "copies")
    yield found
    found.close()


def names(folder: Path) -> list[list[str]]:
    return [pq.read_table(part)["name"].to_pylist() for part in parts_in(folder)]


def test_parts_are_written_one_after_the_other(tmp_path: Path, copies: Copies) -> None:
    parts = Parts(tmp_path / "out", LEGEND, PLAN)
    written = parts.write(iter(ROWS), copies)
    for _ in range(5):
        next(written)
    assert (parts.done, names(parts.folder)) == (1, [["0", "1", "2"]])
    assert list(written) == ROWS[5:]
    assert names(parts.folder) == [["0", "1", "2"], ["3", "5"], ["6"]]
    assert names(parts.folder / "_errors") == [["4"]]
    assert (parts.done, parts.counts()) == (3, Counts(6, 1))


def test_what_is_missing_is_written_over_what_was_left(tmp_path: Path, copies: Copies) -> None:
    parts = Parts(tmp_path / "out", LEGEND, PLAN)
    list(parts.write(iter(ROWS), copies))
    parts.path(1).unlink()  # as if it had ended before it, and after its errors
    good = [row if row.verdict else replace_verdict(row) for row in ROWS[3:]]
    list(parts.write(iter(good), copies))
    assert names(parts.folder)[1] == ["3", "4", "5"]
    assert names(parts.folder / "_errors") == []


def replace_verdict(row: Row) -> Row:
    return Row(row.name, row.address, "ff", VERDICT)


def test_parts_become_one_file(tmp_path: Path, copies: Copies) -> None:
    parts = Parts(tmp_path / "out", LEGEND, PLAN)
    list(parts.write(iter(ROWS), copies))
    for _ in range(2):
        parts.merge(tmp_path / "all.parquet", tmp_path / "all.errors.parquet")
    assert pq.read_table(tmp_path / "all.parquet")["name"].to_pylist() == list("012356")
    assert pq.read_table(tmp_path / "all.errors.parquet")["name"].to_pylist() == ["4"]
    assert Legend.read(pq.read_schema(tmp_path / "all.parquet")) == LEGEND


def test_parts_are_in_order_of_their_numbers(tmp_path: Path) -> None:
    parts = Parts(tmp_path, LEGEND, replace(PLAN, chips=1))
    for number in (100_000, 99_999, 2):
        parts.path(number).touch()
    (tmp_path / "_partial-part-00001.parquet").touch()
    assert parts_in(tmp_path) == [parts.path(number) for number in (2, 99_999, 100_000)]
