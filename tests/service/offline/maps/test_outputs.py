import signal
import threading
import time
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

import pyarrow as pa
import pyogrio
import pytest

from service.answers.layers import geopackage
from service.answers.layers.errors import LayerError
from service.answers.layers.parts import batches
from service.answers.layers.rows import Row, batch
from service.contract.bundle import Bundle
from service.engine.verdict import Verdict
from service.offline.maps.journal import Journal
from service.offline.maps.outputs import FORMATS, check_outputs, write_outputs
from service.scenes.place import Place
from tests.kit.layers import grid, parts_of

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


def test_what_could_not_be_written_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "b.tif").touch()
    scenes = [str(tmp_path / "a.tif"), str(tmp_path / "b.tif")]
    for name, reason in {"a.shp": "no format", "c.tif": "2 scenes", "b.tif": "what is read"}.items():
        with pytest.raises(LayerError, match=reason):
            check_outputs([tmp_path / name], scenes)


def test_a_file_that_is_begun_is_finished_when_it_is_stopped_by_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = parts_of(tmp_path, grid(4, lambda *_: ["water"]), size=4)
    calls = count()

    def stopped(parts: Sequence[Path]) -> Iterator[pa.RecordBatch]:
        if next(calls) == 0:
            time.sleep(0.2)  # until the main thread waits
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        yield from batches(parts)

    monkeypatch.setattr(geopackage, "batches", stopped)
    with pytest.raises(KeyboardInterrupt):
        write_outputs(parts, [tmp_path / "map.gpkg", tmp_path / "map.parquet"])
    assert pyogrio.read_info(tmp_path / "map.gpkg", layer="chipvote")["features"] == 16
    assert not (tmp_path / "map.parquet").exists()
