"""A queue between threads in which takers serve everybody in turn, whoever put in more.

Three kinds of turns, one inside the other: of clients; of what a client has in lines and what of
its items stands alone; of its lines, an item each. So neither many requests, nor long ones, nor
many lone items keep anybody else waiting. What a client and a line is, is for the users to say.

Knows no chips and no requests.
"""

import threading
from collections import deque
from collections.abc import Hashable
from queue import Empty, SimpleQueue
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")


class Line(NamedTuple):
    """Where an item waits for its turn."""

    client: Hashable = None  # few in all: nobody who had items is forgotten
    request: Hashable = None  # whose items keep their order; None: the item stands alone


class Rotation(Generic[T]):
    """Lines that take turns; each holds items in their order."""

    def __init__(self) -> None:
        self._turns: deque[Hashable] = deque()  # of lines with something in them
        self._lines: dict[Hashable, deque[T]] = {}

    def append(self, item: T, line: Hashable) -> None:
        """Put an item at the end of its line."""
        if line not in self._lines:
            self._lines[line] = deque()
            self._turns.append(line)
        self._lines[line].append(item)

    def popleft(self) -> T:
        """Take the first item of the line whose turn it is.

        Raises:
            IndexError: there is none.
        """
        line = self._turns.popleft()
        items = self._lines[line]
        item = items.popleft()
        if items:
            self._turns.append(line)
        else:
            del self._lines[line]
        return item

    def __len__(self) -> int:
        """Return how many lines there are."""
        return len(self._turns)


class _Client(Generic[T]):
    """Lone items, which take turns with all lines together."""

    def __init__(self) -> None:
        self._alone: deque[T] = deque()
        self._lines: Rotation[T] = Rotation()
        self._line_was_last = True

    def append(self, item: T, request: Hashable) -> None:
        if request is None:
            self._alone.append(item)
        else:
            self._lines.append(item, request)

    def popleft(self) -> T:
        self._line_was_last = not (self._alone and (self._line_was_last or not self._lines))
        return (self._lines if self._line_was_last else self._alone).popleft()

    def __len__(self) -> int:
        return len(self._alone) + len(self._lines)


class FairQueue(Generic[T]):
    """Clients that take turns, for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._clients: dict[Hashable, _Client[T]] = {}
        self._turns: deque[_Client[T]] = deque()  # of clients with something to take
        # One sign per item, which C code waits for; False: closed, and passed on to the next taker.
        self._signs: SimpleQueue[bool] = SimpleQueue()

    def put(self, item: T, line: Line) -> None:
        """Put an item at the end of its line."""
        with self._lock:
            client = self._clients.get(line.client)
            if client is None:
                client = self._clients[line.client] = _Client()
            if not client:
                self._turns.append(client)
            client.append(item, line.request)
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
            return [self._next() for _ in range(signs)]

    def _next(self) -> T:
        client = self._turns.popleft()
        item = client.popleft()
        if client:
            self._turns.append(client)
        return item

    def close(self) -> None:
        """Let takers go once they have taken everything; nothing new may come."""
        self._signs.put(False)

    def __len__(self) -> int:
        """Return about how many items are there."""
        return self._signs.qsize()
