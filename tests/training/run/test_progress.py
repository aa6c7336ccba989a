import pytest

from training.run.progress import SLICE, in_threads, track


def test_track_passes_everything_on_and_is_silent_in_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(track(iter("abc"), "letters", 3)) == ["a", "b", "c"]
    captured = capsys.readouterr()
    assert (captured.out, captured.err.strip()) == ("", "")


def test_threads_keep_the_order_and_never_run_far_ahead() -> None:
    begun: list[int] = []

    def double(item: int) -> int:
        begun.append(item)
        return 2 * item

    results = in_threads(double, range(3 * SLICE + 1), "double")
    assert next(results) == 0
    assert max(begun) < SLICE
    assert list(results) == [2 * item for item in range(1, 3 * SLICE + 1)]
    assert sorted(begun) == list(range(3 * SLICE + 1))
