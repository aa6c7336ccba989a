import subprocess
import sys
from pathlib import Path

import pyogrio
import pytest

from service.answers.layers.errors import LayerError
from service.answers.layers.rows import Row, batch
from service.contract.bundle import Bundle
from service.engine.verdict import Verdict
from service.offline.maps.journal import Journal
from service.offline.maps.outputs import FORMATS, check_outputs, write_outputs
from service.scenes.place import Place
from tests.kit.layers import grid, parts_of
from tests.kit.serving import ROOT

CORNERS = ((0.0, 1.0), (1.0, 1.0), (1.0, 0.0), (0.0, 0.0))
SQUARE = [[(0, 0), (1, 0), (1, 1), (0, 1), (0, 0)]]


STOPPED = """
import os, signal, sys, time
from pathlib import Path
from service.answers.layers import geopackage
from service.offline.maps.outputs import write_outputs

folder, *parts = map(Path, sys.argv[1:])
batches = geopackage.batches

stops = iter([signal.SIGINT])

def stop_in_their_midst(parts):
    for stop in stops:  # once
        time.sleep(0.2)  # until the main thread waits
        os.kill(os.getpid(), stop)
    yield from batches(parts)

geopackage.batches = stop_in_their_midst
write_outputs(parts, [folder / "map.gpkg", folder / "map.parquet"])
"""


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


def test_what_could_not_be_written_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "b.tif").touch()
    scenes = [str(tmp_path / "a.tif"), str(tmp_path / "b.tif")]
    for name, reason in {"a.shp": "no format", "c.tif": "2 scenes", "b.tif": "what is read"}.items():
        with pytest.raises(LayerError, match=reason):
            check_outputs([tmp_path / name], scenes)


def test_a_file_that_is_begun_is_finished_when_it_is_stopped_by_hand(tmp_path: Path) -> None:
    parts = parts_of(tmp_path, grid(4, lambda *_: ["water"]), size=4)
    stopped = subprocess.run(
        [sys.executable, "-c", STOPPED, tmp_path, *parts], cwd=ROOT, capture_output=True, text=True
    )
    assert stopped.returncode != 0 and "KeyboardInterrupt" in stopped.stderr, stopped.stderr
    assert pyogrio.read_info(tmp_path / "map.gpkg", layer="chipvote")["features"] == 16
    assert not (tmp_path / "map.parquet").exists()
