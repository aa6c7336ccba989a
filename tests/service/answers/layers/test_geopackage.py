import sqlite3
from pathlib import Path

import pyarrow as pa
import pyogrio
import pytest
import shapely

from service.answers.layers.geopackage import LAYER, encoded, write
from service.answers.layers.rows import Row
from tests.kit.layers import LEGEND, NOWHERE, grid, parts_of, verdict, window


def test_a_gis_reads_places_and_columns(tmp_path: Path) -> None:
    rows = grid(7, lambda column, row: ["bare soil", "semi-arid"] if column == row else ["water"])
    write(parts_of(tmp_path, rows), tmp_path / "map.gpkg")
    info = pyogrio.read_info(tmp_path / "map.gpkg", layer=LAYER)
    assert (info["crs"], info["geometry_type"], info["features"]) == ("EPSG:4326", "MultiPolygon", 49)
    assert info["layer_metadata"]["model"] == "colours"
    _, table = pyogrio.read_arrow(tmp_path / "map.gpkg", layer=LAYER)
    by_name = table.to_pydict()
    assert by_name["labels"] == [_label_set(row) for row in rows]
    assert by_name["bare soil"] == [row.place.column == row.place.row for row in rows]
    assert table.schema.field("bare soil").type == pa.bool_()
    geometries = shapely.from_wkb(table.column(table.num_columns - 1).to_pylist())
    assert geometries[0].bounds == pytest.approx((39.2, -6.101, 39.201, -6.1))


def _label_set(row: Row) -> str:
    return "semi-arid bare soil" if row.place.column == row.place.row else "water"


def test_its_index_finds_a_place(tmp_path: Path) -> None:
    write(parts_of(tmp_path, grid(20, lambda *_: [])), tmp_path / "map.gpkg")
    found = pyogrio.raw.read(tmp_path / "map.gpkg", layer=LAYER, bbox=(39.2045, -6.1025, 39.2055, -6.1015))
    assert len(found[2]) == 4
    with sqlite3.connect(tmp_path / "map.gpkg") as database:
        assert database.execute(f"SELECT count(*) FROM rtree_{LAYER}_geom").fetchone() == (400,)


def test_equal_rows_make_equal_bytes(tmp_path: Path) -> None:
    parts = parts_of(tmp_path, grid(9, lambda *_: ["water"]))
    write(parts, tmp_path / "a.gpkg")
    write(parts, tmp_path / "b.gpkg")
    assert (tmp_path / "a.gpkg").read_bytes() == (tmp_path / "b.gpkg").read_bytes()


def test_in_memory_it_is_the_same_table(tmp_path: Path) -> None:
    rows = [*grid(2, lambda *_: ["water"]), Row(NOWHERE, verdict("scene"))]
    (tmp_path / "map.gpkg").write_bytes(encoded(pa.Table.from_batches([LEGEND.batch(rows)])))
    _, table = pyogrio.read_arrow(tmp_path / "map.gpkg", layer=LAYER)
    assert table["scene_"].to_pylist() == [False] * 4 + [True]
    assert table.column(table.num_columns - 1).to_pylist()[-1] is None


@pytest.mark.parametrize("rows", [[], [Row(window(0, 0), None, "no pixels")]], ids=["empty", "only failures"])
def test_a_layer_with_little_in_it_is_whole(tmp_path: Path, rows: list[Row]) -> None:
    write(parts_of(tmp_path, rows), tmp_path / "map.gpkg")
    _, table = pyogrio.read_arrow(tmp_path / "map.gpkg", layer=LAYER)
    assert table["error"].to_pylist() == [row.failure for row in rows]
