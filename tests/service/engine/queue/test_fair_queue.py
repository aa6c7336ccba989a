import threading
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from service.engine.queue.fair_queue import FairQueue, Line

ALONE = Line()


def of(request: object, client: object = None) -> Line:
    return Line(client, request)


def drained(queue: FairQueue[str]) -> str:
    return "".join(item for taken in iter(lambda: queue.take(wait=False), []) for item in taken)


def test_every_line_keeps_its_order_and_lines_take_turns() -> None:
    queue: FairQueue[str] = FairQueue()
    for line, items in {"first": "ABCD", "second": "ab", "third": "1"}.items():
        for item in items:
            queue.put(item, of(line))
    assert len(queue) == 7
    assert drained(queue) == "Aa1BbCD"
    assert len(queue) == 0


def test_lone_items_take_turns_with_all_lines_together() -> None:
    queue: FairQueue[str] = FairQueue()
    for item in "ABCD":
        queue.put(item, of("first"))
    for item in "abcd":
        queue.put(item, of("second"))
    queue.put("1", ALONE)
    queue.put("2", ALONE)
    assert drained(queue) == "1A2aBbCcDd"


def test_a_lone_item_is_next_after_lines_have_been() -> None:
    queue: FairQueue[str] = FairQueue()
    for item in "ABCD":
        queue.put(item, of("line"))
    for lone in "123":
        queue.take()
        queue.put(lone, ALONE)
        assert queue.take() == [lone]


def test_clients_take_turns_before_what_each_of_them_has() -> None:
    queue: FairQueue[str] = FairQueue()
    for number in range(50):
        queue.put(f"a{number} ", of(None, "many connections"))
    for number in range(3):
        queue.put(f"b{number} ", of("a long request", "few connections"))
    queue.put("c0 ", of(None, "one connection"))
    assert drained(queue).split()[:8] == ["a0", "b0", "c0", "a1", "b1", "a2", "b2", "a3"]
    assert queue.take(wait=False) == []
    queue.put("again", of(None, "one connection"))
    assert drained(queue) == "again"


def test_within_a_client_lone_items_and_lines_take_turns() -> None:
    queue: FairQueue[str] = FairQueue()
    for client in "xy":
        for line in "12":
            for number in range(2):
                queue.put(f"{client}{line}{number} ", of(line, client))
        queue.put(f"{client}alone ", of(None, client))
    assert drained(queue).split() == [
        "xalone", "yalone", "x10", "y10", "x20", "y20", "x11", "y11", "x21", "y21",
    ]  # fmt: skip


def test_a_taker_waits_for_the_first_and_takes_what_is_beside_it() -> None:
    queue: FairQueue[str] = FairQueue()
    assert queue.take(3, wait=False) == []
    for item in "ABCD":
        queue.put(item, of("line"))
    assert queue.take(3) == ["A", "B", "C"]
    threading.Timer(0.05, queue.put, ["late", of("line")]).start()
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
        queue.put(item, of(item % 7))
    queue.close()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert sorted(taken) == list(range(500))


@given(st.lists(st.integers(0, 4), max_size=60))
def test_nobody_gets_two_turns_while_another_waits(lines: list[int]) -> None:
    queue: FairQueue[int] = FairQueue()
    for line in lines:
        queue.put(line, of(line))
    left, turns = Counter(lines), Counter[int]()
    while taken := queue.take(wait=False):
        turns.update(taken)
        left.subtract(taken)
        waiting = [line for line in left if left[line]]
        assert all(turns[taken[0]] <= turns[line] + 1 for line in waiting)
    assert turns == Counter(lines)
