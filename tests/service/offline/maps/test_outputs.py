from pathlib import Path

import pyogrio
import pytest

from service.answers.layers.rows import Row, batch
from service.contract.bundle import Bundle
from service.engine.verdict import Verdict
from service.offline.maps.journal import Journal
from service.offline.maps.outputs import FORMATS, OutputError, check_outputs, write_outputs
from service.scenes.place import Place

CORNERS = ((0.0, 1.0), (1.0, 1.0), (1.0, 0.0), (0.0, 0.0))
SQUARE = [[(0, 0), (1, 0), (1, 1), (0, 1), (0, 0)]]


def test_every_format_is_written(tmp_path: Path, colours: Bundle) -> None:
    place = Place("a.tif", 0, 0, 8, 8, CORNERS, {"type": "Polygon", "coordinates": SQUARE})
    verdict = Verdict([0.9, 0.1, 0.2, 0.3], [3, 0, 0, 0], [True, False, False, False], 3)
    journal = Journal(tmp_path / "p")
    with journal.opened({}):
        journal.add(batch([Row(place, verdict, crs="EPSG:4326")], colours))
        outs = [tmp_path / f"map{suffix}" for suffix in FORMATS]
        check_outputs(outs, ["a.tif"])
        write_outputs(journal.parts, outs)
    for out in outs:
        assert out.stat().st_size
    assert pyogrio.read_info(tmp_path / "map.gpkg", layer="chipvote")["features"] == 1


@pytest.mark.parametrize(
    ("name", "scenes", "reason"),
    [
        ("a.shp", 1, "no format"),
        ("a", 1, "no format"),
        ("no/a.gpkg", 1, "make it first"),
        ("a.tif", 2, "2 scenes"),
    ],
)
def test_what_could_not_be_written_is_refused_at_once(
    name: str, scenes: int, reason: str, tmp_path: Path
) -> None:
    with pytest.raises(OutputError, match=reason):
        check_outputs([tmp_path / name], ["a.tif"] * scenes)


def test_no_scene_is_replaced_by_its_map(tmp_path: Path) -> None:
    (scene := tmp_path / "a.tif").write_bytes(b"pixels")
    (tmp_path / "b.tif").symlink_to(scene)
    (tmp_path / "c.gpkg").mkdir()
    for name in ("a.tif", "b.tif", "c.gpkg"):
        with pytest.raises(OutputError, match="not replaced"):
            check_outputs([tmp_path / name], [str(scene)])
