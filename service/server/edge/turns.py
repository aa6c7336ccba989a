"""Whose turn it is to be read, in each turn of the event loop.

Hundreds of connections may have something to read at once. All of it in one turn of the loop would
keep everybody else waiting for as long as it takes. So a turn ends after a few milliseconds, and
addresses take turns: who sends much waits for itself.

Knows no HTTP. Runs on one event loop.
"""

import asyncio
from collections.abc import Callable
from time import perf_counter

from service.engine.queue.fair_queue import Rotation

MOST_S = 0.005  # of reading in one turn of the loop


class Turns:
    """What waits to be read, in a line for each address."""

    def __init__(self) -> None:
        self._waiting: Rotation[Callable[[], None]] = Rotation()
        self._since_s: float | None = None  # when reading began in this turn of the loop

    def now(self) -> bool:
        """Tell whether there is time in this turn of the loop, and nobody waits for it."""
        if self._since_s is None:
            self._begin()
            return True
        return not self._waiting and self._has_time()

    def later(self, read: Callable[[], None], address: str) -> None:
        """Have something read in a later turn of the loop."""
        self._waiting.append(read, address)
        if self._since_s is None:
            self._begin()

    def _begin(self) -> None:
        self._since_s = perf_counter()
        asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        self._since_s = None
        if not self._waiting:
            return
        self._begin()  # first: whatever is read may raise
        while self._waiting and self._has_time():
            self._waiting.popleft()()

    def _has_time(self) -> bool:
        return self._since_s is not None and perf_counter() < self._since_s + MOST_S
