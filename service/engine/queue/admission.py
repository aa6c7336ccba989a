"""Which requests are accepted, and how many of their chips are on their way.

A request is accepted if it can be expected to be answered in its time. It shares the places with
all others: a chip on its way, being decoded, waiting for the engine or in it, holds one. Every
request has one; what is left is shared by those of many chips, which send the next chip when an
earlier one is answered. So a large request slows itself down and nobody else.

Whatever ends a request early, such as its deadline or its client's going, settles its open answers.
The threads drop chips whose answer is settled: what nobody waits for costs nothing.

Knows chips by their number; no bytes, no HTTP. Runs on one event loop.
"""

import asyncio
import math
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager

from service.contract.errors import DeadlinePassed, NotReady, Overloaded, ServiceError, TooManyChips
from service.engine.queue.rate import Rate
from service.engine.verdict import Verdict

Pending = asyncio.Future[Verdict]

LONGEST_S = 120  # that anybody is asked to wait before a request is sent again


class Ticket:
    """One accepted request: which of its chips are open, and what ended it if something did."""

    def __init__(self, chips: int, share: Callable[[], int], answered: Callable[[], None]) -> None:
        self.left = chips  # not yet answered
        self.line: Hashable | None = None if chips == 1 else self  # in every `FairQueue`
        self._share, self._answered = share, answered
        self._waiting: deque[tuple[Pending, Callable[[Pending], None]]] = deque()
        self._on_way: set[Pending] = set()
        self._ended: ServiceError | None = None

    @property
    def on_way(self) -> int:
        """How many places it holds."""
        return len(self._on_way)

    async def vote(self, send: Callable[[Pending], None]) -> Verdict:
        """Send one chip once there is a place for it, and wait for its answer.

        Raises:
            ServiceError: whatever ended the request, or what the chip was answered by.
        """
        if self._ended:
            raise self._ended
        answer: Pending = asyncio.get_running_loop().create_future()
        self._waiting.append((answer, send))
        self._feed()
        try:
            verdict = await answer
            self._answered()
            return verdict
        finally:
            self.left -= 1
            self._on_way.discard(answer)
            self._feed()

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
        while self._waiting and (not self._on_way or len(self._on_way) < self._share()):
            answer, send = self._waiting.popleft()
            if not answer.done():
                self._on_way.add(answer)
                send(answer)


class Admission:
    """The accepted requests, and the rate at which their chips are answered."""

    def __init__(self, places: int, most_for_one: int) -> None:
        """Refuse everything before `open`.

        Args:
            places: chips on their way that the service has room for; at most so many requests.
            most_for_one: places that a single request makes use of.
        """
        self.ready = False
        self.places = places
        self._most_for_one = most_for_one
        self._lone: set[Ticket] = set()
        self._many: set[Ticket] = set()
        self._rate = Rate()
        self._promised_s = 0.0  # until when places are for those who were asked to come again
        self._idle = asyncio.Event()
        self._idle.set()

    def open(self) -> None:
        """Accept requests from now on."""
        self.ready = True

    async def close(self) -> None:
        """Refuse new requests, and wait until the accepted ones are answered."""
        self.ready = False
        await self._idle.wait()

    def abandon(self, error: ServiceError) -> None:
        """Refuse new requests, and answer the accepted ones by an error."""
        self.ready = False
        for ticket in (*self._lone, *self._many):
            ticket.end(error)

    @property
    def on_way(self) -> int:
        """How many places are taken."""
        return sum(ticket.on_way for ticket in (*self._lone, *self._many))

    def expected_s(self, chips: int = 1) -> float:
        """Return how many seconds a request that came now would take.

        As many chips of each other request of its kind come before its last one, and of the other
        kind as many as of its own; never more than there are.
        """
        if chips == 1:
            own, others = 1 + len(self._lone), sum(ticket.left for ticket in self._many)
        else:
            own = chips + sum(min(chips, ticket.left) for ticket in self._many)
            others = len(self._lone)
        return (own + min(own, others)) / self._rate.chips_per_s

    def check(self, chips: int = 1, deadline_s: float = math.inf) -> None:
        """Refuse what cannot be answered.

        Raises:
            NotReady: the engine has not started, or is stopping.
            TooManyChips: they take longer than the request may take, even alone.
            Overloaded: every place is taken, or there is too much before it.
        """
        if not self.ready:
            raise NotReady("the service is starting or stopping; send the request again in a moment")
        requests = len(self._lone) + len(self._many)
        if requests >= self.places:
            # A place comes with the next answer; where all have many chips, with the last of one.
            before = 0 if self._lone else requests * min(ticket.left for ticket in self._many)
            after_s = before / self._rate.chips_per_s
            raise self._overloaded(chips, after_s, f"{requests} requests are already waiting")
        alone_s = chips / self._rate.chips_per_s
        if chips > 1 and alone_s > deadline_s:
            raise TooManyChips(
                f"{chips} chips take about {alone_s:.0f} s here, and the answer is due in {deadline_s:g} s; "
                "send fewer in one request"
            )
        expected_s = self.expected_s(chips)
        if requests and expected_s > deadline_s:
            why = f"the answer would take about {expected_s:.0f} s, and is due in {deadline_s:g} s"
            raise self._overloaded(chips, expected_s - deadline_s, why)

    @contextmanager
    def reserve(self, chips: int, deadline_s: float = math.inf) -> Iterator[Ticket]:
        """Accept a request of so many chips, to be answered within a time.

        Raises:
            ServiceError: see `check`.
        """
        self.check(chips, deadline_s)
        loop = asyncio.get_running_loop()
        if self._idle.is_set():
            self._idle.clear()
            self._rate.start(loop.time())
        ticket = Ticket(chips, self._share, self._answered)
        kind = self._lone if chips == 1 else self._many
        kind.add(ticket)
        due = loop.call_later(deadline_s, _end_late, ticket, deadline_s) if deadline_s < math.inf else None
        try:
            yield ticket
        finally:
            if due:
                due.cancel()
            kind.remove(ticket)
            if not self._lone and not self._many:
                self._idle.set()

    def _share(self) -> int:
        """Return how many places a request of many chips may hold: one, and a part of the rest."""
        left_over = self.places - len(self._lone) - len(self._many)
        return min(1 + left_over // len(self._many), self._most_for_one)

    def _answered(self) -> None:
        self._rate.count(asyncio.get_running_loop().time())

    def _overloaded(self, chips: int, after_s: float, why: str) -> Overloaded:
        """Refuse a request until there will be a place, behind those who were refused before."""
        now_s = asyncio.get_running_loop().time()
        promised_s = max(self._promised_s, now_s + after_s) + chips / self._rate.chips_per_s
        self._promised_s = min(promised_s, now_s + LONGEST_S)
        wait_s = max(1, math.ceil(self._promised_s - now_s))
        return Overloaded(f"{why}; send the request again in {wait_s} s", wait_s)


def _end_late(ticket: Ticket, deadline_s: float) -> None:
    ticket.end(DeadlinePassed(f"no answer within {deadline_s:g} s; send it again, or let it wait longer"))
