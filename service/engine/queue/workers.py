"""Threads that say how long they have been at one piece of work, so that a stuck one is noticed.

Knows no chips.
"""

import asyncio
import threading
from collections.abc import Callable
from time import monotonic

_POLL_S = 0.01


class Worker:
    """One thread; `work` runs in it, and says when a piece begins and ends."""

    def __init__(self, name: str, work: Callable[["Worker"], None]) -> None:
        self._since_s: float | None = None  # None: waits for work
        self._work, self._ended = work, False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Let the thread begin."""
        self._thread.start()

    def _run(self) -> None:
        self._work(self)
        self._ended = True

    def begin(self) -> None:
        """Be at a piece of work from now on."""
        self._since_s = monotonic()

    def rest(self) -> None:
        """Be done with it."""
        self._since_s = None

    def trouble(self, patience_s: float) -> str | None:
        """Return what is wrong with the thread, None if nothing is."""
        if not self._ended and not self._thread.is_alive():
            return f"{self._thread.name} has died"
        began_s = self._since_s
        if began_s is not None and (taken_s := monotonic() - began_s) > patience_s:
            return f"{self._thread.name} has been at one piece of work for {taken_s:.0f} s"
        return None

    async def ended(self) -> None:
        """Wait for the thread's end in no other thread: it may hang, and Python joins others."""
        while self._thread.is_alive():
            await asyncio.sleep(_POLL_S)
