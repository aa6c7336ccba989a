"""Read back by DuckDB, as people do."""

from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from service.answers.layers.rows import Legend
from service.engine.verdict import Verdict
from service.offline.bulk.rows import Row, errors, labels, schema

LEGEND = Legend("colours", "1.2.3", ("name", "members"))
ROWS = [
    Row("a.png", "/a.png", "00", Verdict([0.75, 0.25], [3, 1], [True, False], 3, blank=0.5)),
    Row("b.png", "https://host/b.png?n=1&sig=S3CRET", title="No chip", reason="it is not there"),
    Row("caf\udce9.png", "/c", "00", Verdict([0.5, 0.5], [2, 2], [True, True], 2), duplicate_of="a.png"),
]


def test_rows_with_a_verdict_are_columns(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_batches([labels(ROWS, LEGEND)]), tmp_path / "labels.parquet")
    found = duckdb.execute(
        "SELECT name, labels, name_, members_, p_name, p_members, votes_members, members, nodata_share, "
        f"digest, duplicate_of, model, version FROM '{tmp_path}/labels.parquet'"
    ).fetchall()
    assert found == [
        ("a.png", "name", True, False, 0.75, 0.25, 1, 3, 0.5, "00", None, "colours", "1.2.3"),
        ("caf?.png", "name members", True, True, 0.5, 0.5, 2, 2, None, "00", "a.png", "colours", "1.2.3"),
    ]
    assert Legend.read(pq.read_schema(tmp_path / "labels.parquet")) == LEGEND


def test_rows_without_are_another_table() -> None:
    assert errors(ROWS).to_pylist() == [
        {
            "name": "b.png",
            "address": "https://host/b.png?n=1",
            "title": "No chip",
            "reason": "it is not there",
        }
    ]


def test_no_rows_have_columns_too() -> None:
    assert labels([], LEGEND).schema == schema(LEGEND)
    assert labels([], LEGEND).num_rows == errors([]).num_rows == 0
