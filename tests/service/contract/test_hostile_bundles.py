"""Bundles that want a service's time, memory or files: each is refused in one sentence, at once."""

import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from service import cli
from service.contract.bundle import Bundle, load
from service.contract.errors import BundleError
from tests.kit.fakes import linear_members
from tests.kit.hostile_bundles import GOLDEN, GRAPH, KINDS, constant_graph, replaced

# On a machine with nothing else to do it is less than 5 s, most of it the start of a process.
MOST_MB, MOST_S = 300, 30.0


@pytest.fixture
def folder(colours: Bundle, tmp_path: Path) -> Path:
    return Path(shutil.copytree(colours.folder, tmp_path / "bundle"))


@pytest.fixture(autouse=True)
def on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHIPVOTE_DEVICE", "cpu")


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_refused_in_one_sentence(kind: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spoil, says = KINDS[kind]
    spoil(folder)
    began_s = time.monotonic()
    with pytest.raises(SystemExit) as ended:
        cli.main(["check", str(folder)])
    assert time.monotonic() - began_s < MOST_S
    assert ended.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"chipvote: {folder}")
    assert says in line
    assert "again" in line or "restore" in line or "copy the file" in line or "must name a folder" in line
    assert len(line) < 1200


def checked(folder: Path) -> tuple[int, str, float]:
    """Run `chipvote check` as a process of its own: status, last words, and MB at most."""
    script = (
        "import pathlib, re, sys; from service import cli\n"
        "try: cli.main(['check', sys.argv[1]])\n"
        # Not getrusage's: that is at least what the parent had.
        "finally: print(re.search(r'VmHWM:\\s*(\\d+)', pathlib.Path('/proc/self/status').read_text())[1])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder)], capture_output=True, text=True, timeout=300, check=False
    )
    most_kb = done.stdout.split()[-1] if done.stdout.split() else "0"
    return done.returncode, done.stderr, int(most_kb) / 1000 if most_kb.isdigit() else 0


@pytest.mark.parametrize(
    "kind",
    [
        "manifest nested in a key",
        "manifest of 3 GB",
        "manifest with very many faults",
        "golden that unpacks to much",
    ],
)
def test_it_takes_little_memory(kind: str, folder: Path) -> None:
    KINDS[kind][0](folder)
    code, words, most_mb = checked(folder)
    assert (code, "Traceback" in words) == (1, False)
    assert 0 < most_mb < MOST_MB


def test_a_constant_that_fits_the_machine_ends_the_process_before_it_is_made(folder: Path) -> None:
    replaced(GRAPH, constant_graph(4 * 10**9))(folder)
    before_kb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    began_s = time.monotonic()
    code, words, _ = checked(folder)
    assert code == 1
    assert f"{GRAPH}: takes more than" in words or "does not run" in words
    assert len(words.splitlines()) == 1
    assert time.monotonic() - began_s < MOST_S
    most_kb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    assert most_kb == before_kb or most_kb / 1000 < MOST_MB


def test_a_graph_that_changes_after_it_was_read_is_not_run(folder: Path) -> None:
    loaded = load(folder)
    (folder / GRAPH).write_bytes(linear_members()[1].graph())
    with pytest.raises(BundleError, match="has changed since the bundle was read"):
        loaded.graph(loaded.manifest.members[0], "float32")


def test_files_that_are_linked_within_the_folder_are_read(folder: Path) -> None:
    """As installers do, that keep each file once; its content is what the manifest says."""
    (folder / "kept").mkdir()
    for name, make in ((GRAPH, os.link), (GOLDEN, os.symlink)):
        shutil.move(folder / name, folder / "kept" / name)
        make(folder / "kept" / name, folder / name)
    assert load(folder)
