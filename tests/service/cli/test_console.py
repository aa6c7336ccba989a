import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from service.contract.version import __version__
from tests.kit.console import chipvote


def test_a_bad_setting_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CHIPVOTE_THREADS", "many")
    assert chipvote("serve") == 1
    error = capsys.readouterr().err
    assert error.startswith("chipvote: CHIPVOTE_THREADS=many: ")
    assert error.count("\n") == 1


@pytest.mark.parametrize("command", ["serve", "predict", "labels", "check", "swap", "key"])
def test_help_explains_every_command(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert chipvote("--help") == 0
    assert command in capsys.readouterr().out
    assert chipvote(command, "--help") == 0
    assert "Usage: chipvote" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert chipvote("--version") == 0
    assert capsys.readouterr().out == f"chipvote {__version__}\n"


def test_only_what_a_command_needs_is_imported(client: httpx2.Client, chips: Path) -> None:
    script = (
        "import sys; from service import cli\n"
        "try: cli.main(sys.argv[1:])\n"
        "finally: print(*{'numpy', 'onnxruntime', 'fastapi'} & set(sys.modules), file=sys.stderr)"
    )
    for arguments in (["--help"], ["predict", "--url", str(client.base_url), str(chips)]):
        done = subprocess.run(
            [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True, timeout=60
        )
        assert done.stderr.strip() == ""
