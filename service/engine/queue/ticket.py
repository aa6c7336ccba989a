"""One accepted request, and the places that its chips take.

Whatever ends it early, such as its deadline or its client's going, settles its open answers. The
threads drop chips whose answer is settled: what nobody waits for costs nothing.

Knows chips by their number; no bytes, no HTTP. Runs on one event loop.
"""

import asyncio
import math
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Protocol

from service.contract.errors import DeadlinePassed, ServiceError
from service.engine.queue.fair_queue import Line
from service.engine.verdict import Verdict

Pending = asyncio.Future[Verdict]


class Places(Protocol):
    """What hands out the places."""

    on_way: int  # of them that are taken

    def share(self) -> int:
        """Return how many places a request of many chips may hold."""

    def begun(self) -> None:
        """Take a place for a chip."""

    def answered(self) -> None:
        """Note that a chip was answered."""

    def leave(self, ticket: "Ticket") -> None:
        """Forget a request that has ended."""


class Ticket:
    """One accepted request: which of its chips are open, and what ended it if something did.

    Given back at the end of its `with`.
    """

    def __init__(self, places: Places, chips: int, key: str | None, deadline_s: float) -> None:
        self.chips = self.left = chips  # not yet answered
        self.key = key
        self.line = Line(key, None if chips == 1 else self)  # in every `FairQueue`
        self._places = places
        self._waiting: deque[tuple[Pending, Callable[[Pending], None]]] = deque()
        self._on_way: set[Pending] = set()
        self._ended: ServiceError | None = None
        self._deadline_s = deadline_s
        self._due: asyncio.TimerHandle | None = None
        if deadline_s < math.inf:
            self._due = asyncio.get_running_loop().call_later(deadline_s, self._end_late)

    def __enter__(self) -> "Ticket":
        return self

    def __exit__(self, *_: object) -> None:
        if self._due:
            self._due.cancel()
        self._places.leave(self)

    @property
    def on_way(self) -> int:
        """How many places it holds."""
        return len(self._on_way)

    async def vote(self, send: Callable[[Pending], None], within_s: float = math.inf) -> Verdict:
        """Send one chip once there is a place for it, and wait for its answer.

        Raises:
            DeadlinePassed: it was not answered so many seconds after it was sent, and is dropped.
            ServiceError: whatever ended the request, or what the chip was answered by.
        """
        if self._ended:
            raise self._ended
        answer: Pending = asyncio.get_running_loop().create_future()
        self._waiting.append((answer, partial(_within, send, within_s)))
        self._feed()
        try:
            verdict = await answer
            self._places.answered()
            return verdict
        finally:
            self.left -= 1
            if answer in self._on_way:
                self._on_way.remove(answer)
                self._places.on_way -= 1
            self._feed()

    def skip(self) -> None:
        """Note that one of the chips that were announced does not come."""
        self.left -= 1

    def end(self, error: ServiceError) -> None:
        """Answer every open chip of this request, and those still to come, by an error."""
        self._ended = error
        for answer in (*self._on_way, *(answer for answer, _ in self._waiting)):
            if not answer.done():
                answer.set_exception(error)

    def check(self) -> None:
        """Refuse to answer what was ended as a whole; a deadline ends only the chips that are late.

        Raises:
            ServiceError: what ended it.
        """
        if self._ended and not isinstance(self._ended, DeadlinePassed):
            raise self._ended

    def _feed(self) -> None:
        share = self._places.share
        while self._waiting and (not self.on_way or self.on_way < share()):
            answer, send = self._waiting.popleft()
            if not answer.done():
                self._on_way.add(answer)
                self._places.begun()
                send(answer)

    def _end_late(self) -> None:
        self.end(_late(self._deadline_s))


def _late(after_s: float) -> DeadlinePassed:
    """Return how a chip is answered that was not answered in its time."""
    return DeadlinePassed(f"no answer within {after_s:g} s; send it again, or let it wait longer")


def _within(send: Callable[[Pending], None], most_s: float, answer: Pending) -> None:
    """Send a chip, and drop it if it is not answered in time."""
    if most_s == math.inf:
        send(answer)
        return

    def drop() -> None:
        if not answer.done():
            answer.set_exception(_late(most_s))

    timer = asyncio.get_running_loop().call_later(most_s, drop)
    answer.add_done_callback(lambda _: timer.cancel())
    send(answer)
