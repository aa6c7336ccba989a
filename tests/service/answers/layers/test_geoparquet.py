import json
from pathlib import Path

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest
import shapely

from service.answers.layers.geoparquet import hilbert, write
from service.answers.layers.rows import Row
from tests.kit.layers import LABELS, LEGEND, NOWHERE, grid, parts_of, verdict, window


def test_every_row_is_there_with_its_place(tmp_path: Path) -> None:
    rows = grid(10, lambda column, row: ["water"] if column > row else [])
    write(parts_of(tmp_path, rows), tmp_path / "map.parquet")
    found = pq.read_table(tmp_path / "map.parquet").to_pylist()
    assert {(row["column"] // 256, row["row"] // 256, row["water"]) for row in found} == {
        (column, row, column > row) for column in range(10) for row in range(10)
    }
    for row in found:
        assert shapely.from_wkb(row["geometry"]).bounds == tuple(row["bbox"].values())


def test_the_metadata_are_those_of_geoparquet(tmp_path: Path) -> None:
    write(parts_of(tmp_path, grid(3, lambda *_: [])), tmp_path / "map.parquet")
    geo = json.loads(pq.read_schema(tmp_path / "map.parquet").metadata[b"geo"])
    column = geo["columns"]["geometry"]
    assert (geo["version"], geo["primary_column"]) == ("1.1.0", "geometry")
    assert (column["encoding"], column["geometry_types"]) == ("WKB", ["Polygon"])
    assert column["bbox"] == pytest.approx([39.2, -6.103, 39.203, -6.1])
    assert column["covering"]["bbox"]["xmin"] == ["bbox", "xmin"]


def test_a_query_of_a_place_and_a_label_reads_few_rows(tmp_path: Path) -> None:
    rows = grid(100, lambda column, _: ["bare soil"] if column % 2 else [])
    write(parts_of(tmp_path, rows, size=5000), tmp_path / "map.parquet")
    found = duckdb.execute(f"""
        SELECT scene, "column", "row", "p_bare soil"
        FROM '{tmp_path}/map.parquet'
        WHERE "bare soil"
          AND bbox.xmin < 39.2095 AND bbox.xmax > 39.2055
          AND bbox.ymin < -6.1005 AND bbox.ymax > -6.1015
        ORDER BY "row", "column"
    """).fetchall()  # fmt: skip
    assert [(column // 256, row // 256) for _, column, row, _ in found] == [
        (column, row) for row in (0, 1) for column in (5, 7, 9)
    ]
    groups = pq.ParquetFile(tmp_path / "map.parquet").metadata
    assert groups.num_row_groups == 3
    spans = [_width(groups.row_group(index)) for index in range(2)]
    assert max(spans) < 0.1  # of the layer, which is so wide: the first groups are compact


def _width(group: pq.RowGroupMetaData) -> float:
    columns = {group.column(index).path_in_schema: group.column(index) for index in range(group.num_columns)}
    west, east = columns["bbox.xmin"].statistics.min, columns["bbox.xmax"].statistics.max
    return float(east - west)


def test_the_curve_visits_every_cell_and_steps_to_a_neighbour() -> None:
    x, y = (axis.ravel() for axis in np.meshgrid(np.arange(32), np.arange(32)))
    distance = hilbert(x, y, 5)
    assert sorted(distance) == list(range(32 * 32))
    order = np.argsort(distance)
    steps = np.abs(np.diff(x[order])) + np.abs(np.diff(y[order]))
    assert set(steps) == {1}


def test_equal_rows_make_equal_bytes(tmp_path: Path) -> None:
    rows = grid(9, lambda column, row: ["water"])
    (tmp_path / "other").mkdir()
    write(parts_of(tmp_path, rows), tmp_path / "a.parquet")
    write(parts_of(tmp_path / "other", rows), tmp_path / "b.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_across_the_antimeridian_a_filter_finds_it_on_both_sides(tmp_path: Path) -> None:
    halves = [
        [[[179.9, 0], [180, 0], [180, 1], [179.9, 1], [179.9, 0]]],
        [[[-180, 0], [-179.9, 0], [-179.9, 1], [-180, 1], [-180, 0]]],
    ]
    place = window(0, 0)._replace(geometry={"type": "MultiPolygon", "coordinates": halves})
    write(parts_of(tmp_path, [Row(place, verdict("water"))]), tmp_path / "map.parquet")
    for x in (179.95, -179.95):
        where = f"bbox.xmin <= {x} AND bbox.xmax >= {x}"
        assert duckdb.execute(f"SELECT count(*) FROM '{tmp_path}/map.parquet' WHERE {where}").fetchall() == [
            (1,)
        ]
    geo = json.loads(pq.read_schema(tmp_path / "map.parquet").metadata[b"geo"])
    assert geo["columns"]["geometry"]["geometry_types"] == ["MultiPolygon"]


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [Row(window(0, 0), None, "no pixels")],
        [Row(NOWHERE, verdict("water"))],
    ],
    ids=["empty", "only failures", "no place"],
)
def test_a_layer_with_little_in_it_is_whole(tmp_path: Path, rows: list[Row]) -> None:
    write(parts_of(tmp_path, rows), tmp_path / "map.parquet")
    table = pq.read_table(tmp_path / "map.parquet")
    assert table.num_rows == len(rows)
    assert table.schema.names == LEGEND.schema().names
    assert set(LABELS) - {"scene", "Water"} < set(table.schema.names)
