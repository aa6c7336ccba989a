from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from threading import Semaphore

import pytest

from service.engine.ahead import ahead


def test_results_come_in_order_and_no_further_ahead_than_allowed() -> None:
    drawn = 0

    def endless() -> Iterator[int]:
        nonlocal drawn
        while True:
            yield drawn
            drawn += 1

    with ThreadPoolExecutor(4) as pool:
        results = ahead(pool, lambda value: value * value, endless(), most=5)
        assert list(islice(results, 20)) == [value * value for value in range(20)]
        assert drawn <= 25


def test_as_much_is_under_way_as_allowed() -> None:
    begun, go = Semaphore(0), Semaphore(0)

    def wait(value: int) -> int:
        begun.release()
        assert go.acquire(timeout=60)
        return value

    with ThreadPoolExecutor(3) as pool:
        results = ahead(pool, wait, range(3), most=4)
        go.release(3)
        assert list(results) == [0, 1, 2]
    assert all(begun.acquire(timeout=60) for _ in range(3))


def test_an_error_ends_it() -> None:
    with ThreadPoolExecutor(1) as pool, pytest.raises(ZeroDivisionError):
        list(ahead(pool, lambda value: 1 / value, [1, 0, 2], most=2))
