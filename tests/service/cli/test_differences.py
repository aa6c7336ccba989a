import subprocess
import sys
from pathlib import Path

import pytest

from service.answers.layers import geojson
from service.cli import main
from tests.kit.layers import grid, parts_of


@pytest.fixture
def layers(tmp_path: Path) -> list[str]:
    for name, labels in (("a", ["water"]), ("b", ["bare soil"])):
        geojson.write(parts_of(tmp_path, grid(2, lambda *_, said=labels: said)), tmp_path / f"{name}.geojson")
    return [str(tmp_path / "a.geojson"), str(tmp_path / "b.geojson")]


def test_changes_are_counted_and_written(
    tmp_path: Path, layers: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "changes.html"
    with pytest.raises(SystemExit) as ended:
        main(["diff", *layers, "--out", str(out), "-o", str(tmp_path / "changes.gpkg")])
    assert ended.value.code == 0
    lines = {line.split("│")[1].strip(): line for line in capsys.readouterr().out.splitlines() if "│" in line}
    assert lines["water"].replace(" ", "").strip("│").split("│") == ["water", "4", "0", "0", "0", "4", "0"]
    assert out.read_text().startswith("<!doctype html>")
    assert (tmp_path / "changes.gpkg").exists()


def test_what_cannot_be_compared_is_one_line(
    tmp_path: Path, layers: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in ([layers[0], "no.gpkg"], [*layers, "-o", str(tmp_path / "a.csv")]):
        with pytest.raises(SystemExit) as ended:
            main(["diff", *arguments])
        assert ended.value.code == 1
        assert len(capsys.readouterr().err.splitlines()) == 1


def test_without_the_extra_it_says_which() -> None:
    command = (
        "import sys; sys.modules['pyarrow'] = None; from service.cli import main; main(['diff', 'a', 'b'])"
    )
    ended = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True)
    assert ended.returncode == 1
    assert ended.stderr == "chipvote: this needs pyarrow; pip install 'chipvote[scenes]'\n"
