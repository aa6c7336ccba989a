import re

import pytest

from service.cli import progress
from service.cli.progress import follow


def test_elsewhere_than_on_a_terminal_lines_tell_how_far_it_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LINE_S", 0.0)
    follow(iter([1000, 1001, 1002]), 2000, "windows")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert re.fullmatch(r"chipvote: 1,002 of 2,000 windows, [\d.e+]+/s, [\d:, days]+ left", lines[1])


def test_what_is_soon_done_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    follow(iter(range(50)), 50, "windows")
    assert capsys.readouterr().err == ""


def test_a_terminal_has_a_bar(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr(progress, "REDRAW_S", 0.0)
    follow(iter([0, 1, 2, 3]), 4, "windows")
    shown = capsys.readouterr().err
    assert "3/4" in shown
    assert "left" in shown
