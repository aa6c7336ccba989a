import errno
import subprocess
import sys
from pathlib import Path

import pytest

from service.answers.layers.parts import whole
from tests.kit.layers import grid, parts_of

_CUT_SHORT = """
import resource, sys
from pathlib import Path
from service.answers.layers import {0}
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    {0}.write([Path(part) for part in sys.argv[2:]], Path(sys.argv[1]))
except OSError as error:
    print(error.errno, error.strerror)
"""


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    with whole(tmp_path / "map.gpkg") as partial:
        partial.write_text("half")
        assert not (tmp_path / "map.gpkg").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["map.gpkg"]


def test_what_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "map.gpkg").write_text("before")
    with pytest.raises(ValueError, match="bad row"), whole(tmp_path / "map.gpkg") as partial:
        partial.write_text("half")
        raise ValueError("bad row")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["before"]


@pytest.mark.parametrize("kind", ["geoparquet", "geopackage"])
def test_a_full_disk_is_said_as_one(tmp_path: Path, kind: str) -> None:
    parts = parts_of(tmp_path, grid(40, lambda *_: ["water"]), size=400)
    (tmp_path / "out").mkdir()
    out = tmp_path / "out" / {"geoparquet": "map.parquet", "geopackage": "map.gpkg"}[kind]
    ended = subprocess.run(
        [sys.executable, "-c", _CUT_SHORT.format(kind), str(out), *map(str, parts)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout.split()[0] in {str(errno.ENOSPC), str(errno.EFBIG)}, ended.stdout + ended.stderr
    assert list(out.parent.iterdir()) == []
