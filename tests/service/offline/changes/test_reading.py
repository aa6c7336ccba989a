import csv
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely

from service.answers.layers import geojson, geopackage, geoparquet
from service.answers.layers.errors import LayerError
from service.answers.layers.rows import Row
from service.offline.changes.matching import match
from service.offline.changes.reading import read
from tests.kit.layers import LEGEND, NOWHERE, grid, parts_of, verdict, window

ROWS = [*grid(2, lambda column, _: ["bare soil"] if column else []), Row(window(9, 9), None, "cut")]


@pytest.mark.parametrize(
    ("kind", "name"),
    [(geoparquet.write, "a.parquet"), (geopackage.write, "a.gpkg"), (geojson.write, "a.geojson")],
)
def test_every_format_says_the_same(
    tmp_path: Path, kind: Callable[[Sequence[Path], Path], None], name: str
) -> None:
    kind(parts_of(tmp_path, ROWS), tmp_path / name)
    found = read(tmp_path / name)
    assert found.labels == ("semi-arid", "bare soil", "scene", "water", "Water_")
    assert (found.bundles, len(found.keys), found.failed, found.placed) == (("colours 1.2.3",), 4, 1, True)
    assert found.predicted_NL[:, 1].sum() == 2
    assert found.probs_NL.max() == pytest.approx(0.9)
    assert (found.votes_NL.max(), found.members.tolist()) == (3, [3] * 4)
    assert shapely.union_all(found.geometries).bounds == pytest.approx((39.2, -6.102, 39.202, -6.1))


def test_a_table_of_chips_has_names_and_no_places(tmp_path: Path) -> None:
    rows = [Row(NOWHERE._replace(scene=name), verdict("water")) for name in ("a.jpg", "b.jpg")]
    table = pa.Table.from_batches([LEGEND.batch(rows)])
    pq.write_table(
        table.rename_columns({"scene": "name"}).drop_columns(["bbox", "geometry", "corners", "disagreement"]),
        tmp_path / "part.parquet",
    )
    found = read(tmp_path / "part.parquet")
    assert (found.keys, found.placed) == (["a.jpg", "b.jpg"], False)


def test_a_layer_of_failures_has_no_rows(tmp_path: Path) -> None:
    geoparquet.write(parts_of(tmp_path, ROWS[-1:]), tmp_path / "a.parquet")
    found = read(tmp_path / "a.parquet")
    assert (found.keys, found.failed, found.predicted_NL.shape) == ([], 1, (0, 5))


def test_what_is_no_layer_is_refused_with_what_would_be_one(tmp_path: Path) -> None:
    with (tmp_path / "a.csv").open("w") as file:
        csv.writer(file).writerow(["labels"])
    (tmp_path / "b.gpkg").write_bytes(b"no database")
    (tmp_path / "c.parquet").write_bytes(b"no table")
    pq.write_table(pa.table({"labels": ["water"]}), tmp_path / "d.parquet")
    geoparquet.write(parts_of(tmp_path, ROWS), tmp_path / "f.parquet")
    table = pq.read_table(tmp_path / "f.parquet")
    pq.write_table(table.drop_columns(["p_water"]), tmp_path / "g.parquet")
    for letter, column in {"h": "members", "i": "geometry", "j": "votes_water"}.items():
        words = pa.array([b"what"] * len(table))
        pq.write_table(
            table.set_column(table.column_names.index(column), column, words), tmp_path / f"{letter}.parquet"
        )
    for name, reason in {
        "g.parquet": "has not three columns for each label",
        **dict.fromkeys(("h.parquet", "i.parquet", "j.parquet"), "cannot be read"),
        "a.csv": "is of no format that is read",
        "b.gpkg": "cannot be read",
        "c.parquet": "cannot be read",
        "d.parquet": "has not the columns of a layer",
        "e.gpkg": "there is no such file",
    }.items():
        with pytest.raises(LayerError, match=rf"{name}.*{reason}.*give a layer of chipvote map"):
            read(tmp_path / name)


def test_outlines_of_other_programs_may_cross_themselves(tmp_path: Path) -> None:
    geoparquet.write(parts_of(tmp_path, ROWS), tmp_path / "a.parquet")
    table = pq.read_table(tmp_path / "a.parquet")
    crossed = shapely.Polygon([(0, 0), (2, 2), (2, 0), (0, 2)])
    column = pa.array([shapely.to_wkb(crossed)] * len(table))
    table = table.set_column(table.column_names.index("geometry"), "geometry", column)
    pq.write_table(table, tmp_path / "b.parquet")
    found = read(tmp_path / "b.parquet")
    assert shapely.area(found.geometries).tolist() == [2] * 4
    assert len(match(found, found)) == 4


def test_points_cover_nothing(tmp_path: Path) -> None:
    geoparquet.write(parts_of(tmp_path, ROWS), tmp_path / "a.parquet")
    layer = read(tmp_path / "a.parquet")
    points = layer._replace(geometries=shapely.centroid(layer.geometries))
    for pair in ((points, layer), (layer, points), (points, points)):
        with pytest.raises(LayerError, match="no place of the one is covered"):
            match(*pair)
