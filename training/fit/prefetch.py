"""Makes the next batches while the device works on the last one.

One thread, so the order is that of the source; a bounded number ahead, so memory stays
bounded; nothing is random, so a fit sees the same with it as without.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from time import perf_counter
from typing import Any, Generic, TypeVar

T = TypeVar("T")
AHEAD = 4


class Prefetched(Generic[T]):
    """An iterable that a thread walks ahead of whoever iterates.

    Attributes:
        waited_s: how long iterating has waited for items so far: what the thread did not hide.
    """

    def __init__(
        self, items: Iterable[T], finish: Callable[[T], T] | None = None, ahead: int = AHEAD
    ) -> None:
        """Wrap an iterable.

        Args:
            items: what to give, in this order.
            finish: done to every item in the thread, such as pinning its memory.
            ahead: items made before they are asked for, at least 1.

        Raises:
            ValueError: `ahead` is less than 1.
        """
        if ahead < 1:
            raise ValueError(f"ahead is {ahead}; make at least 1 item ahead")
        self._items, self._finish, self._ahead = items, finish, ahead
        self.waited_s = 0.0

    def __iter__(self) -> Iterator[T]:
        """Yield the items; an error in the thread is raised here, in the place of its item."""
        items = iter(self._items if self._finish is None else map(self._finish, self._items))
        end: Any = object()
        pool = ThreadPoolExecutor(1, thread_name_prefix="prefetch")
        try:
            coming: deque[Future[T]] = deque(pool.submit(next, items, end) for _ in range(self._ahead))
            while True:
                asked = perf_counter()
                item = coming.popleft().result()
                self.waited_s += perf_counter() - asked
                if item is end:
                    return
                coming.append(pool.submit(next, items, end))
                yield item
        finally:  # also when whoever iterates stops early
            pool.shutdown(cancel_futures=True)
