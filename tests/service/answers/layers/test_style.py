import sqlite3
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

from service.answers.layers import geojson, geopackage, style
from service.answers.layers.rows import Row
from tests.kit.layers import LABELS, LEGEND, grid, parts_of, verdict, window


def test_a_style_colours_each_frequent_label_set(tmp_path: Path) -> None:
    rows = grid(6, lambda column, row: ["bare soil", "water"] if column == row else ["water"])
    geojson.write(parts_of(tmp_path, [*rows, Row(window(9, 9), None, "cut")]), tmp_path / "map.geojson")
    text = (tmp_path / "map.qml").read_text()
    assert text.startswith("<!DOCTYPE qgis PUBLIC")
    root = ElementTree.fromstring(text)
    renderer = root.find("renderer-v2")
    assert renderer is not None and renderer.get("type") == "RuleRenderer"
    rules = renderer.findall("rules/rule")
    assert [(rule.get("label"), rule.get("filter")) for rule in rules] == [
        ("water", "\"labels\" = 'water'"),
        ("bare soil water", "\"labels\" = 'bare soil water'"),
        ("no label", "\"labels\" = ''"),
        ("failed", '"error" IS NOT NULL'),
        ("other label sets", "ELSE"),
    ]
    symbols = {symbol.get("name"): symbol for symbol in renderer.findall("symbols/symbol")}
    assert {rule.get("symbol") for rule in rules} == set(symbols)
    colours = [symbol.find(".//Option[@name='color']") for symbol in symbols.values()]
    assert len({colour.get("value") for colour in colours if colour is not None}) == 5


def test_a_raster_shows_the_label_that_varies_most(tmp_path: Path) -> None:
    rows = [Row(window(i, 0), verdict("water", probability=0.5 + i / 10)) for i in range(5)]
    shown = ElementTree.fromstring(style.qml(LEGEND.schema(), [LEGEND.batch(rows)])).find(
        "pipe/rasterrenderer"
    )
    assert shown is not None
    assert shown.get("band") == str(LABELS.index("water") + 1)
    items = shown.findall("rastershader/colorrampshader/item")
    assert (items[0].get("label"), items[-1].get("value")) == ("water 0.00", "1.00")


def test_quotes_in_a_label_end_no_filter() -> None:
    assert style.rules(Counter({"land's end": 3}))[0][0] == "\"labels\" = 'land''s end'"


def test_rare_label_sets_are_drawn_alike() -> None:
    drawn = style.rules(Counter({f"set{number}": number for number in range(1, 30)}))
    assert [text for _, text, _, _ in drawn][:2] == ["set29", "set28"]
    assert len(drawn) == 9 + 3


def test_an_empty_layer_has_a_style() -> None:
    assert "other label sets" in style.qml(LEGEND.schema(), [])


def test_a_geopackage_holds_its_style_as_the_default(tmp_path: Path) -> None:
    geopackage.write(parts_of(tmp_path, grid(2, lambda *_: ["water"])), tmp_path / "map.gpkg")
    with sqlite3.connect(tmp_path / "map.gpkg") as database:
        found = database.execute(
            "SELECT s.styleQML FROM layer_styles s JOIN gpkg_geometry_columns g"
            " ON g.table_name = s.f_table_name AND g.column_name = s.f_geometry_column WHERE s.useAsDefault"
        ).fetchall()
        attributes = "SELECT data_type FROM gpkg_contents WHERE table_name = 'layer_styles'"
        assert database.execute(attributes).fetchall() == [("attributes",)]
    assert len(found) == 1
    assert "RuleRenderer" in found[0][0]
