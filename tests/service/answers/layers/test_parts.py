import errno
import signal
import subprocess
import sys
from pathlib import Path

import pyogrio
import pytest

from service.answers.layers import geojson, geopackage
from service.answers.layers.errors import LayerError
from service.answers.layers.parts import check_outputs, whole
from tests.kit.layers import grid, parts_of

_KILLED = """
import os, sys
from pathlib import Path
from service.answers.layers.parts import check_outputs, whole
with whole(Path(sys.argv[1])) as partial:
    partial.write_bytes(b"SQLite format 3")
    os.kill(os.getpid(), 9)
"""
_SHORT_OF_SPACE = """
import resource, sys
from pathlib import Path
from service.answers.layers import geoparquet
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    geoparquet.write([Path(part) for part in sys.argv[2:]], Path(sys.argv[1]))
except OSError as error:
    print(error.errno)
"""


def test_a_killed_process_leaves_the_file_as_it_was_and_is_no_hindrance(tmp_path: Path) -> None:
    out = tmp_path / "map.gpkg"
    out.write_text("before")
    ended = subprocess.run([sys.executable, "-c", _KILLED, str(out)])
    assert (ended.returncode, out.read_text()) == (-signal.SIGKILL, "before")
    assert len(list(tmp_path.iterdir())) == 2  # what it had written
    geopackage.write(parts_of(tmp_path, grid(2, lambda *_: ["water"])), out)
    assert pyogrio.read_info(out, layer=geopackage.LAYER)["features"] == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["map.gpkg", "part-00000.parquet"]


def test_a_file_that_cannot_grow_is_an_error_with_its_number(tmp_path: Path) -> None:
    parts = parts_of(tmp_path, grid(20, lambda *_: ["water"]), size=400)
    out = tmp_path / "out" / "map.parquet"
    out.parent.mkdir()
    command = [sys.executable, "-c", _SHORT_OF_SPACE, str(out), *map(str, parts)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ended.stdout.split() == [str(errno.EFBIG)], ended.stderr
    assert list(out.parent.iterdir()) == []


def test_what_gdal_says_of_a_full_disk_is_said_as_one(tmp_path: Path) -> None:
    parts = parts_of(tmp_path, grid(40, lambda *_: ["water"]), size=400)
    pyogrio.set_gdal_config_options({"OGR_SQLITE_PRAGMA": "max_page_count=40"})
    try:
        with pytest.raises(OSError, match=r"map\.gpkg") as raised:
            geopackage.write(parts, tmp_path / "map.gpkg")
    finally:
        pyogrio.set_gdal_config_options({"OGR_SQLITE_PRAGMA": None})
    assert raised.value.errno == errno.ENOSPC
    assert sorted(tmp_path.iterdir()) == parts


def test_whatever_else_gdal_cannot_write_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(LayerError, match=r"map\.gpkg cannot be written"), whole(tmp_path / "map.gpkg"):
        raise pyogrio.errors.DataLayerError("disk I/O error")


def test_what_could_not_be_written_is_refused_before(tmp_path: Path) -> None:
    (tmp_path / "folder.gpkg").mkdir()
    (tmp_path / "scene.tif").touch()
    (tmp_path / "link.tif").symlink_to(tmp_path / "scene.tif")
    read = [str(tmp_path / "scene.tif"), "https://example.org/a.tif"]
    check_outputs([tmp_path / "a.tif", tmp_path / "ä %#.gpkg"], (".tif", ".gpkg"), read)
    for name, reason in {
        "a.shp": r"use \.tif, \.gpkg",
        "a": "no format",
        "no/a.gpkg": "make it first",
        "a\n.gpkg": "no name that every program",
        "folder.gpkg": "is a folder",
        "scene.tif": "what is read",
        "link.tif": "what is read",
    }.items():
        with pytest.raises(LayerError, match=reason):
            check_outputs([tmp_path / name], (".tif", ".gpkg"), read)
    with pytest.raises(LayerError, match="/proc takes no file"):
        check_outputs([Path("/proc/a.tif")], (".tif",), read)


def test_a_style_of_others_or_for_what_is_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "scene.tif").touch()
    with pytest.raises(LayerError, match=r"would draw .*scene\.tif by the layer's style"):
        check_outputs([tmp_path / "scene.geojson"], (".geojson",), [tmp_path / "scene.tif"])
    check_outputs([tmp_path / "scene.gpkg"], (".gpkg",), [tmp_path / "scene.tif"])
    geojson.write(parts_of(tmp_path, grid(2, lambda *_: ["water"])), tmp_path / "map.geojson")
    check_outputs([tmp_path / "map.tif"], (".tif",), [])
    (tmp_path / "map.qml").write_text("<qgis/>")
    with pytest.raises(LayerError, match=r"map\.qml is a style of yours"):
        check_outputs([tmp_path / "map.tif"], (".tif",), [])
