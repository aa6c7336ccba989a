from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import pyarrow.parquet as pq
import pyogrio
import pytest

from service.offline.changes.differences import compare
from service.offline.changes.reading import read
from service.offline.changes.writing import write
from tests.kit.layers import grid
from tests.service.offline.changes.conftest import SIDE, Make


@pytest.mark.parametrize("name", ["changes.parquet", "changes.gpkg", "changes.geojson"])
def test_every_format_holds_each_place_with_its_change(
    tmp_path: Path, files: tuple[Path, Path], name: str
) -> None:
    write(compare(*map(read, files)), tmp_path / name)
    if name.endswith("parquet"):
        table = pq.read_table(tmp_path / name)
    else:
        _, table = pyogrio.read_arrow(tmp_path / name, layer="chipvote" if name.endswith("gpkg") else None)
    found = table.to_pydict()
    assert Counter(found["change"]) == {"both": SIDE - 1, "disappeared": 1, "none": SIDE * (SIDE - 1)}
    assert Counter(found["water"]) == {1: SIDE, 0: SIDE * (SIDE - 1)}
    assert Counter(found["bare soil"]) == {-1: SIDE, 0: SIDE * (SIDE - 1)}
    assert found["disputed_water"].count(True) == 1
    assert max(found["p_water"]) == pytest.approx(0.8, abs=1e-6)
    assert set(found["appeared"]) == {"", "water"}
    assert found["share"] == pytest.approx([0.7] * SIDE**2, abs=1e-3)


def test_a_style_colours_the_kinds_of_change(tmp_path: Path, files: tuple[Path, Path]) -> None:
    write(compare(*map(read, files)), tmp_path / "changes.geojson")
    rules = ElementTree.parse(tmp_path / "changes.qml").findall("renderer-v2/rules/rule")
    assert [rule.get("filter") for rule in rules][:2] == [
        "\"change\" = 'appeared'",
        "\"change\" = 'disappeared'",
    ]


def test_equal_layers_make_equal_bytes(tmp_path: Path, files: tuple[Path, Path]) -> None:
    for name in ("a.gpkg", "b.gpkg"):
        write(compare(*map(read, files)), tmp_path / name)
    assert (tmp_path / "a.gpkg").read_bytes() == (tmp_path / "b.gpkg").read_bytes()


def test_the_page_is_a_format_too(tmp_path: Path, layer: Make) -> None:
    same = layer(grid(2, lambda *_: ["water"]))
    write(compare(same, same), tmp_path / "changes.html")
    assert "No label appeared or disappeared." in (tmp_path / "changes.html").read_text()
