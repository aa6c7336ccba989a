import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from service.cli import mapping
from tests.kit.console import chipvote
from tests.kit.scenes import noise, patchwork, write_scene


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    (tmp_path / "scenes").mkdir()
    return write_scene(tmp_path / "scenes" / "a.tif", patchwork(3, 4)[0])


def test_a_scene_becomes_layers(scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "map.parquet"
    assert chipvote("map", scene, "--out", out, "--out", tmp_path / "map.geojson", "--resolution", "0.5") == 0
    said = capsys.readouterr().err
    assert said == (
        f"chipvote: 12 windows, 12 labelled, 0 left out, 0 failed: {out}, {tmp_path / 'map.geojson'}\n"
    )
    assert pq.read_metadata(out).num_rows == 12
    assert len(json.loads((tmp_path / "map.geojson").read_text())["features"]) == 12


def test_it_takes_what_is_asked_for(scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "map.parquet"
    write_scene(scene.with_name("b.TIFF"), patchwork(1, 2)[0])
    scene.with_name("notes.txt").touch()
    more = ("--stride", "0.5", "--skip-labels", "bluish, reddish")
    assert chipvote("map", scene.parent, scene, "-o", out, *more) == 0  # one scene is named twice
    table = pq.read_table(out)
    assert set(table["scene"].to_pylist()) == {str(scene), str(scene.with_name("b.TIFF"))}
    assert not {"bluish", "reddish"} & set(table["labels"].to_pylist())
    assert "36 windows" not in (said := capsys.readouterr().err)
    assert "38 windows" in said
    assert said.count("give the resolution, in metres") == 1


def test_an_area_may_be_a_box_or_a_file(
    scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "map.parquet"
    assert chipvote("map", scene, "-o", out) == 0
    first = pq.read_table(out).to_pylist()[0]
    box = [first["bbox"][side] for side in ("xmin", "ymin", "xmax", "ymax")]
    shrunk = [box[0] + 1e-5, box[1] + 1e-5, box[2] - 1e-5, box[3] - 1e-5]
    assert chipvote("map", scene, "-o", out, "--bbox", ",".join(map(str, shrunk))) == 0
    assert pq.read_table(out)["corners"].to_pylist() == [first["corners"]]
    west, south, east, north = shrunk
    ring = [(west, south), (east, south), (east, north), (west, north), (west, south)]
    (tmp_path / "a.geojson").write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
    assert chipvote("map", scene, "-o", out, "--area", tmp_path / "a.geojson") == 0
    assert pq.read_table(out)["corners"].to_pylist() == [first["corners"]]
    assert chipvote("map", scene, "-o", out, "--area", tmp_path / "a.geojson", "--bbox", "0,0,1,1") == 2
    assert chipvote("map", scene, "-o", out, "--bbox", "0,0,1") == 2
    capsys.readouterr()


def test_what_cannot_be_made_is_one_line_for_each_reason(
    scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_scene(scene.with_name("grey.tif"), noise(64, 64, 1))
    assert chipvote("map", scene.parent, "gone.tif", "-o", tmp_path / "map.gpkg") == 1
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 2
    assert "grey.tif: the scene is grey" in said
    assert "gone.tif: there is no such file" in said
    assert chipvote("map", scene, "-o", tmp_path / "map.shp") == 1
    assert chipvote("map", tmp_path / "scenes" / "..", "-o", tmp_path / "a.tif") == 1
    (tmp_path / "none").mkdir()
    assert chipvote("map", tmp_path / "none", "-o", tmp_path / "map.gpkg") == 2


def test_a_map_beside_its_scenes_may_be_made_again_and_never_replaces_one(
    scene: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        assert chipvote("map", scene.parent, "-o", scene.with_name("map.tif")) == 0
    before = scene.read_bytes()
    assert chipvote("map", scene, "-o", scene) == 1
    assert "what is read" in capsys.readouterr().err
    assert scene.read_bytes() == before


def test_stopped_by_hand_it_says_how_to_go_on(
    scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("service.client.progress.Pace.reached", stopped)
    assert chipvote("map", scene, "-o", tmp_path / "map.gpkg") == mapping.INTERRUPTED
    assert "the same command goes on from here" in capsys.readouterr().err
