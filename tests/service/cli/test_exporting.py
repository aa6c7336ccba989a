import json
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


def test_export_stac_writes_an_item_of_the_bundle(tmp_path: Path) -> None:
    out = tmp_path / "item.json"
    arguments = ("--out", out, "--address", "https://example.org/colours", "--bbox", -1, 2, 3, 4)
    assert chipvote("export", "stac", *map(str, arguments)) == 0
    item = json.loads(out.read_text())
    assert item["bbox"] == [-1, 2, 3, 4]
    assert item["assets"]["member1-float32"]["href"] == "https://example.org/colours/member1.float32.onnx"


@pytest.mark.parametrize("what", ["triton", "stac"])
def test_where_nothing_can_be_written_is_one_line(
    what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert chipvote("export", what, "--out", str(tmp_path / "file" / "out")) == 1
    assert "cannot be written" in capsys.readouterr().err
