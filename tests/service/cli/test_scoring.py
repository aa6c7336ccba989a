import re
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from service.client import progress
from tests.kit.console import chipvote
from tests.kit.serving import ROOT


def test_score_writes_a_row_for_each_chip(
    chips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert chipvote("score", chips, "--out", out) == 0
    assert capsys.readouterr().out == "2 chips labelled, 0 cannot be used\n"
    assert pq.read_table(out)["labels"].to_pylist() == ["reddish", "bluish"]
    assert chipvote("score", chips, "--out", out) == 0
    assert "2 of 2 chips are there already" in capsys.readouterr().err


def test_score_tells_of_chips_that_cannot_be_used(
    chips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LINE_S", -1.0)
    (tmp_path / "list.csv").write_text("what,chip\n1,chips/a.png\n2,chips/none.png\n")
    arguments = ("score", tmp_path / "list.csv", "--out", tmp_path / "out.parquet")
    assert chipvote(*arguments, "--column", "chip", "--all-members", "--each-copy") == 1
    output = capsys.readouterr()
    assert "1 chips labelled, 1 cannot be used" in output.out
    assert "out.errors.parquet" in output.out
    assert re.search(r"^chipvote: 2 of 2 chips, [\d.e+]+/s, 0:00:00 left$", output.err, re.MULTILINE)
    assert chipvote(*arguments, "--column", "colour") == 1
    assert "no column 'colour'" in capsys.readouterr().err


def test_without_its_packages_score_says_which() -> None:
    code = "import sys; sys.modules['pyarrow'] = None; from service.cli import main; "
    code += "main(['score', '.', '--out', 'x'])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == "chipvote: this needs pyarrow; pip install 'chipvote[scenes]'\n"
