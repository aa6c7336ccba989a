"""A clone is what was committed, byte for byte, however Git is set up to convert line ends."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.kit.serving import ROOT

pytestmark = pytest.mark.skipif(
    not ((ROOT / ".git").exists() and shutil.which("git")), reason="no git, or no repository here"
)


def git(folder: Path, *arguments: str, text: str | None = None) -> list[str]:
    """Run git in a folder; return the lines that it prints."""
    done = subprocess.run(
        ["git", "-C", folder, *arguments], input=text, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone as the installer of Git for Windows sets it up."""
    folder = tmp_path_factory.mktemp("windows") / "clone"
    git(ROOT, "clone", "--quiet", "-c", "core.autocrlf=true", "-c", "core.eol=crlf", ".", str(folder))
    return folder


def test_every_file_is_what_was_committed(clone: Path) -> None:
    rows = [row.split(maxsplit=3) for row in git(clone, "ls-tree", "-r", "HEAD")]
    names = [name for *_, name in rows]
    found = git(clone, "hash-object", "--no-filters", "--stdin-paths", text="\n".join(names))
    differ = [name for (_, _, blob, name), hashed in zip(rows, found, strict=True) if blob != hashed]
    assert differ == []


def test_no_text_has_the_line_ends_of_windows(clone: Path) -> None:
    rows = [row.split("\t") for row in git(clone, "ls-files", "--eol")]
    assert [name for ends, name in rows if "crlf" in ends or "mixed" in ends] == []
    for name in ("Makefile", "Dockerfile", ".ci/run", "deploy/install.sh", "deploy/prove_image.sh"):
        assert b"\r" not in (clone / name).read_bytes()


def test_the_images_script_runs(clone: Path) -> None:
    """Its first line that matters is where it failed."""
    run = subprocess.run(
        ["sh", "deploy/install.sh", "nonsense", "nowhere"], cwd=clone, capture_output=True, text=True
    )
    assert (run.returncode, run.stderr.strip()) == (2, "unknown variant 'nonsense'; choose cpu or cuda")
