import threading
import time
from collections.abc import Iterator

import pytest

from training.fit.prefetch import Prefetched


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("prefetch")]


def test_items_come_in_order_finished_and_each_time_anew() -> None:
    prefetched = Prefetched(range(20), finish=lambda item: item * 10)
    assert list(prefetched) == list(prefetched) == list(range(0, 200, 10))
    assert list(Prefetched([])) == []
    assert threads() == []


@pytest.mark.parametrize("ahead", [1, 3])
def test_so_many_are_made_ahead_and_no_more(ahead: int) -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for item in range(10):
            made.append(item)
            yield item

    iterator = iter(Prefetched(items(), ahead=ahead))
    for taken in range(4):
        assert next(iterator) == taken
        deadline = time.monotonic() + 60
        while len(made) < taken + 1 + ahead:
            assert time.monotonic() < deadline, "nothing is made ahead"
            time.sleep(0.001)
        time.sleep(0.01)
        assert len(made) == taken + 1 + ahead
    del iterator  # stops in the middle
    assert threads() == []
    assert len(made) <= 4 + ahead


def test_the_work_ahead_is_done_while_the_last_item_is_worked_on() -> None:
    together, reached = threading.Barrier(2), []

    def items() -> Iterator[int]:
        for item in range(2):
            if item == 1:
                together.wait(60)  # passes only when the consumer works at the same time
                reached.append(item)
            yield item

    for item in Prefetched(items()):
        if item == 0:
            together.wait(60)
    assert reached == [1]


def test_an_error_comes_in_its_place_and_ends_the_thread() -> None:
    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise OSError("the disk is gone")

    seen = []
    with pytest.raises(OSError, match="the disk is gone"):
        for item in Prefetched(items()):
            seen.append(item)
    assert seen == [1, 2]
    assert threads() == []


def test_only_waiting_is_counted() -> None:
    def slowly(item: int) -> int:
        time.sleep(0.4)
        return item

    waiting = Prefetched(range(4), finish=slowly)
    assert list(waiting) == [0, 1, 2, 3]
    assert waiting.waited_s > 0.8  # of 1.6 s
    hidden = Prefetched(range(4))
    for _ in hidden:
        time.sleep(0.4)
    assert hidden.waited_s < 0.8


def test_nothing_ahead_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Prefetched([1], ahead=0)
