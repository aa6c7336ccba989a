import threading
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from service.engine.queue.fair_queue import FairQueue


def drained(queue: FairQueue[str]) -> str:
    return "".join(item for taken in iter(lambda: queue.take(wait=False), []) for item in taken)


def test_every_line_keeps_its_order_and_lines_take_turns() -> None:
    queue: FairQueue[str] = FairQueue()
    for line, items in {"first": "ABCD", "second": "ab", "third": "1"}.items():
        for item in items:
            queue.put(item, line)
    assert len(queue) == 7
    assert drained(queue) == "Aa1BbCD"
    assert len(queue) == 0


def test_lone_items_take_turns_with_all_lines_together() -> None:
    queue: FairQueue[str] = FairQueue()
    for item in "ABCD":
        queue.put(item, "first")
    for item in "abcd":
        queue.put(item, "second")
    queue.put("1")
    queue.put("2")
    assert drained(queue) == "1A2aBbCcDd"


def test_a_lone_item_is_next_after_lines_have_been() -> None:
    queue: FairQueue[str] = FairQueue()
    for item in "ABCD":
        queue.put(item, "line")
    for lone in "123":
        queue.take()
        queue.put(lone)
        assert queue.take() == [lone]


def test_a_taker_waits_for_the_first_and_takes_what_is_beside_it() -> None:
    queue: FairQueue[str] = FairQueue()
    assert queue.take(3, wait=False) == []
    for item in "ABCD":
        queue.put(item, "line")
    assert queue.take(3) == ["A", "B", "C"]
    threading.Timer(0.05, queue.put, ["late", "line"]).start()
    assert [*queue.take(3), *queue.take()] == ["D", "late"]


def test_closed_it_gives_what_is_left_and_lets_every_taker_go() -> None:
    queue: FairQueue[int] = FairQueue()
    taken: list[int] = []

    def take() -> None:
        while some := queue.take(2):
            taken.extend(some)

    threads = [threading.Thread(target=take) for _ in range(3)]
    for thread in threads:
        thread.start()
    for item in range(500):
        queue.put(item, item % 7)
    queue.close()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    assert sorted(taken) == list(range(500))


@given(st.lists(st.integers(0, 4), max_size=60))
def test_nobody_gets_two_turns_while_another_waits(lines: list[int]) -> None:
    queue: FairQueue[int] = FairQueue()
    for line in lines:
        queue.put(line, line)
    left, turns = Counter(lines), Counter[int]()
    while taken := queue.take(wait=False):
        turns.update(taken)
        left.subtract(taken)
        waiting = [line for line in left if left[line]]
        assert all(turns[taken[0]] <= turns[line] + 1 for line in waiting)
    assert turns == Counter(lines)
