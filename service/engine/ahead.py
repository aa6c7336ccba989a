"""What is slow, done ahead: results in order, a bounded number before they are asked for."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def ahead(pool: Executor, work: Callable[[T], R], items: Iterable[T], most: int) -> Iterator[R]:
    """Yield `work(item)` of each item in order, done by a pool.

    Args:
        pool: whose threads or processes do it.
        work: may raise, which ends the iteration.
        items: drawn on as results are taken, so they may be endless.
        most: results that are there, or on their way, before they are taken.
    """
    waiting: deque[Future[R]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) >= most:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
