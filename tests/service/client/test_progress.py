import re

import pytest

from service.client import progress
from service.client.progress import Pace, watch


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr(progress, "REDRAW_S", 0.0)


def test_results_pass_through_and_what_is_soon_done_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(watch(iter("abc"), 3, "chips")) == ["a", "b", "c"]
    assert list(watch(iter("abc"), None, "chips")) == ["a", "b", "c"]
    assert capsys.readouterr() == ("", "")


def test_elsewhere_than_on_a_terminal_lines_tell_how_far_it_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LINE_S", 0.0)
    with Pace(2000, "windows", 1000) as pace:
        pace.reached(1000)
        pace.reached(1002)
    assert list(watch(iter("ab"), None, "chips")) == ["a", "b"]
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "chipvote: 1,000 of 2,000 windows, 0/s"
    assert re.fullmatch(r"chipvote: 1,002 of 2,000 windows, [\d.e+]+/s, [\d:, days]+ left", lines[1])
    assert re.fullmatch(r"chipvote: 2 chips, [\d.e+]+/s", lines[3])


@pytest.mark.usefixtures("terminal")
def test_at_a_terminal_a_long_wait_shows_a_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert list(watch(range(3), 3, "chips")) == [0, 1, 2]
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(progress, "PATIENCE_S", -1)
    assert list(watch(range(3), 3, "chips")) == [0, 1, 2]
    shown = capsys.readouterr().err
    assert "3/3" in shown
    assert "left" in shown
