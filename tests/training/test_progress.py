import pytest

from training.progress import track


def test_track_passes_everything_on_and_is_silent_in_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(track(iter("abc"), "letters", 3)) == ["a", "b", "c"]
    captured = capsys.readouterr()
    assert (captured.out, captured.err.strip()) == ("", "")
