from pathlib import Path

import pytest

from tests.kit.console import chipvote


def test_export_triton_says_what_it_wrote_and_what_triton_needs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "repository"
    assert chipvote("export", "triton", "--out", out, "--backend", "python", "--name", "colours") == 0
    output = capsys.readouterr()
    assert f"{out}: colours 1.2.3, float32, as the model colours" in output.out
    assert "onnxruntime" in output.out
    assert (out / "colours/config.pbtxt").is_file()
    assert chipvote("export", "triton", "--out", out) == 1
    assert "is there and not empty; name a new folder" in capsys.readouterr().err
