import pytest

from service.answers.layers.rows import Legend, Row, batch, disagreement, schema
from service.contract.bundle import Bundle
from service.engine.verdict import Verdict
from tests.kit.layers import LABELS, LEGEND, NOWHERE, verdict, window


def test_names_that_are_taken_get_an_underscore() -> None:
    names = [column.predicted for column in LEGEND.columns()]
    # "scene" is a column of its own, and databases take "Water" for "water".
    assert names == ["semi-arid", "bare soil", "scene_", "water", "Water_"]
    assert [column.label for column in LEGEND.columns()] == list(LABELS)
    lower = [name.lower() for name in LEGEND.schema().names]
    assert len(set(lower)) == len(lower)


def test_a_schema_tells_its_legend(colours: Bundle) -> None:
    assert Legend.read(schema(colours)) == Legend.of(colours)
    assert schema(colours).names[:10] == [
        *("scene", "column", "row", "width", "height", "labels"),
        *("reddish", "greenish", "bluish", "dark"),
    ]


def test_rows_become_columns(colours: Bundle) -> None:
    said = Verdict([0.9, 0.2, 0.1, 0.8], [3, 1, 0, 2], [True, False, False, True], 3, blank=0.25)
    rows = [
        Row(window(2, 1), said, None, "EPSG:4326"),
        Row(window(3, 1), None, "its pixels are damaged", "EPSG:4326"),
    ]
    first, second = batch(rows, colours).to_pylist()
    assert (first["column"], first["row"], first["labels"]) == (512, 256, "reddish dark")
    assert (first["dark"], first["votes_greenish"], first["members"]) == (True, 1, 3)
    assert first["p_reddish"] == pytest.approx(0.9)
    assert (first["nodata_share"], first["disagreement"], first["error"]) == (0.25, None, None)
    assert first["bbox"] == {"xmin": 39.202, "ymin": -6.102, "xmax": 39.203, "ymax": -6.101}
    assert first["corners"] == [39.202, -6.101, 39.203, -6.101, 39.203, -6.102, 39.202, -6.102]
    assert (first["model"], first["version"], first["crs"]) == ("colours", "1.2.3", "EPSG:4326")
    assert second["error"] == "its pixels are damaged"
    assert {second[name] for name in ("labels", "dark", "p_dark", "votes_dark", "members")} == {None}


def test_a_whole_file_without_a_place_has_only_its_name() -> None:
    row = Row(NOWHERE, verdict("water"))
    found = LEGEND.batch([row]).to_pylist()[0]
    assert (found["scene"], found["labels"]) == ("a.png", "water")
    places = ("column", "row", "width", "height", "corners", "bbox", "geometry", "crs")
    assert {found[name] for name in places} == {None}


def test_disagreement_is_the_widest_gap() -> None:
    assert disagreement([[0.1, 0.2], [0.9, 0.3], [0.5, 0.5]]) == pytest.approx(0.6)
    assert disagreement([]) is None
