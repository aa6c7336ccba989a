import signal
import subprocess
import sys
from pathlib import Path

import pytest

from service.contract.files import atomic_write

_KILLED = """
import os, sys
from pathlib import Path
from service.contract.files import atomic_write
with atomic_write(Path(sys.argv[1])) as partial:
    partial.write_text("half")
    os.kill(os.getpid(), 9)
"""


def test_a_file_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "numbers.npy"
    with pytest.raises(RuntimeError), atomic_write(path) as partial:
        assert partial.suffix == ".npy"
        partial.write_text("half")
        raise RuntimeError("killed")
    assert list(path.parent.iterdir()) == []
    with atomic_write(path) as partial:
        partial.write_text("whole")
        assert not path.exists()
    assert [(file.name, file.read_text()) for file in path.parent.iterdir()] == [("numbers.npy", "whole")]


def test_what_fails_or_is_killed_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "numbers.npy"
    path.write_text("before")
    with pytest.raises(ValueError, match="bad row"), atomic_write(path) as partial:
        partial.write_text("half")
        raise ValueError("bad row")
    assert [file.read_text() for file in tmp_path.iterdir()] == ["before"]
    ended = subprocess.run([sys.executable, "-c", _KILLED, str(path)])
    assert (ended.returncode, path.read_text()) == (-signal.SIGKILL, "before")
    with atomic_write(path) as partial:
        assert not partial.exists()  # what the killed process had written
        partial.write_text("whole")
    assert [file.read_text() for file in tmp_path.iterdir()] == ["whole"]


def test_a_folder_is_refused_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="is a folder; name a file"), atomic_write(tmp_path):
        pytest.fail("the work began")
