"""A queue between threads in which takers serve everybody in turn, whoever put in more.

What is put in stands in a line, named by a path such as (kind, request). At every level of the
paths the names take turns: with two kinds, every other item is of the one; among the requests of a
kind, each gives one item a round. A level more, as a client's name before the kind, is one name
more in the paths.

Knows no chips and no requests.
"""

import threading
from collections import deque
from collections.abc import Hashable
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")


class Rotation(Generic[T]):
    """Lines that take turns; each holds items in their order, or is a rotation itself."""

    def __init__(self) -> None:
        self._turns: deque[Hashable] = deque()  # the names of lines with something in them
        self._lines: dict[Hashable, deque[T] | Rotation[T]] = {}

    def append(self, item: T, name: Hashable, *path: Hashable) -> None:
        """Put an item at the end of its line."""
        line = self._lines.get(name)
        if line is None:
            line = self._lines[name] = Rotation() if path else deque()
            self._turns.append(name)
        line.append(item, *path)

    def popleft(self) -> T:
        """Take the first item of the line whose turn it is.

        Raises:
            IndexError: there is none.
        """
        name = self._turns.popleft()
        line = self._lines[name]
        item = line.popleft()
        if line:
            self._turns.append(name)
        else:
            del self._lines[name]
        return item

    def __bool__(self) -> bool:
        return bool(self._turns)


class FairQueue(Generic[T]):
    """A rotation that threads share."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._items: Rotation[T] = Rotation()
        # One sign per item, which C code waits for; False: closed, and passed on to the next taker.
        self._signs: SimpleQueue[bool] = SimpleQueue()

    def put(self, item: T, *path: Hashable) -> None:
        """Put an item into a line; all paths of a queue are equally long."""
        with self._lock:
            self._items.append(item, *path)
        self._signs.put(True)

    def take(self, most: int = 1, *, wait: bool = True) -> list[T]:
        """Return what is there, `most` items at most; wait for the first, or do not.

        Nothing comes once the queue is closed and empty.
        """
        signs = 0
        while signs < most:
            try:
                if not self._signs.get(block=wait and not signs):
                    self._signs.put(False)
                    break
            except Empty:
                break
            signs += 1
        with self._lock:
            return [self._items.popleft() for _ in range(signs)]

    def close(self) -> None:
        """Let takers go once they have taken everything; nothing new may come."""
        self._signs.put(False)

    def __len__(self) -> int:
        """Return about how many items are there."""
        return self._signs.qsize()
