import json
from pathlib import Path

import pyogrio
import pytest

from service.answers.layers.geojson import write
from service.answers.layers.rows import Row
from tests.kit.layers import LABELS, grid, parts_of, verdict, window


def test_a_program_without_a_gis_reads_it(tmp_path: Path) -> None:
    rows = [*grid(3, lambda column, _: ["bare soil"] if column else []), Row(window(9, 9), None, "no pixels")]
    write(parts_of(tmp_path, rows), tmp_path / "map.geojson")
    found = json.loads((tmp_path / "map.geojson").read_text())
    assert (found["type"], len(found["features"]), "crs" in found) == ("FeatureCollection", 10, False)
    second, last = found["features"][1], found["features"][-1]
    assert second["geometry"] == rows[1].place.geometry
    assert (second["properties"]["labels"], second["properties"]["bare soil"]) == ("bare soil", True)
    assert second["properties"]["p_bare soil"] == pytest.approx(0.9)
    assert (last["properties"]["error"], last["properties"]["bare soil"]) == ("no pixels", None)
    assert found["description"] == "colours 1.2.3"
    assert {"semi-arid", "Water_", "votes_scene"} < set(last["properties"])


def test_across_the_antimeridian_it_stays_cut(tmp_path: Path) -> None:
    halves = [
        [[[179.9, 0.0], [180.0, 0.0], [180.0, 1.0], [179.9, 1.0], [179.9, 0.0]]],
        [[[-180.0, 0.0], [-179.9, 0.0], [-179.9, 1.0], [-180.0, 1.0], [-180.0, 0.0]]],
    ]
    place = window(0, 0)._replace(geometry={"type": "MultiPolygon", "coordinates": halves})
    write(parts_of(tmp_path, [Row(place, verdict(LABELS[0]))]), tmp_path / "map.geojson")
    found = json.loads((tmp_path / "map.geojson").read_text())
    assert found["features"][0]["geometry"] == place.geometry


def test_equal_rows_make_equal_bytes(tmp_path: Path) -> None:
    parts = parts_of(tmp_path, grid(9, lambda *_: ["water"]))
    write(parts, tmp_path / "a.geojson")
    write(parts, tmp_path / "b.geojson")
    assert (tmp_path / "a.geojson").read_bytes() == (tmp_path / "b.geojson").read_bytes()


def test_an_empty_layer_is_a_collection(tmp_path: Path) -> None:
    write(parts_of(tmp_path, []), tmp_path / "map.geojson")
    assert json.loads((tmp_path / "map.geojson").read_text())["features"] == []
    assert pyogrio.read_info(tmp_path / "map.geojson")["features"] == 0
