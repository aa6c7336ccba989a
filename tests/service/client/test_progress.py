import pytest

from service.client import progress
from service.client.progress import watch


def test_results_pass_through_and_nothing_is_printed_where_nobody_looks(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert list(watch(iter("abc"), 3)) == ["a", "b", "c"]
    assert list(watch(iter("abc"), None)) == ["a", "b", "c"]
    assert capsys.readouterr() == ("", "")


def test_at_a_terminal_a_long_wait_shows_a_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # what makes rich believe in a terminal
    assert list(watch(range(3), 3)) == [0, 1, 2]
    assert "chips" not in capsys.readouterr().err
    monkeypatch.setattr(progress, "PATIENCE_S", -1)
    assert list(watch(range(3), 3)) == [0, 1, 2]
    assert "100%" in capsys.readouterr().err
