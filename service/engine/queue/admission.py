"""Which requests are accepted, and how many of their chips are on their way.

A request is accepted if it can be expected to be answered in its time. It shares the places with
all others: a chip on its way, being decoded, waiting for the engine or in it, holds one. Every
request has one; what is left is shared by those of many chips, which send the next chip when an
earlier one is answered. So a large request slows itself down and nobody else. A key has no more
requests than it leaves places to others.

Knows chips by their number; no bytes, no HTTP. Runs on one event loop.
"""

import asyncio
import math
from collections.abc import Iterator
from typing import NamedTuple

from service.contract.errors import NotReady, Overloaded, ServiceError, TooManyChips
from service.engine.queue.promises import Promises
from service.engine.queue.rate import Rate
from service.engine.queue.ticket import Ticket


class Asker(NamedTuple):
    """Who asks, as far as it can be told."""

    key: str | None = None  # its name; None where no keys are in force
    address: str = ""


NOBODY = Asker()


class _Requests:
    """The accepted requests of one key, or of everybody."""

    def __init__(self) -> None:
        self.lone: set[Ticket] = set()
        self.many: set[Ticket] = set()

    def __len__(self) -> int:
        return len(self.lone) + len(self.many)

    def __iter__(self) -> Iterator[Ticket]:
        yield from self.lone
        yield from self.many

    def of_kind(self, chips: int) -> set[Ticket]:
        return self.lone if chips == 1 else self.many

    def before(self, chips: int) -> int:
        """Return how many chips are answered until the last of a new request is.

        As many chips of each other request of its kind come before its last one, and of the other
        kind as many as of its own; never more than there are.
        """
        if chips == 1:
            own = 1 + len(self.lone)
            others = sum([ticket.left for ticket in self.many]) if self.many else 0
        else:
            own = chips + sum([min(chips, ticket.left) for ticket in self.many])
            others = len(self.lone)
        return own + min(own, others)


class Admission:
    """The accepted requests, and the rate at which their chips are answered."""

    def __init__(self, places: int, most_for_one: int, chips_per_s: float = math.inf) -> None:
        """Refuse everything before `open`.

        Args:
            places: chips on their way that the service has room for; at most so many requests.
            most_for_one: places that a single request makes use of.
            chips_per_s: about how many are answered; infinite if nobody knows before the first is.
        """
        self.ready = False
        self.places = places
        self.on_way = 0  # places that are taken
        self._most_for_one = most_for_one
        self._all = _Requests()
        self._keys: dict[str | None, _Requests] = {None: self._all}  # else of each with requests
        self._rate = Rate(chips_per_s)
        self._first_per_s = chips_per_s if chips_per_s < math.inf else 0.0
        self._promises = Promises()
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
        for ticket in self._all:
            ticket.end(error)

    def expected_s(self, chips: int = 1, key: str | None = None) -> float:
        """Return how many seconds a request that came now would take.

        Of each other key as many chips come before its last one as of its own.
        """
        own = self._keys.get(key, _NONE).before(chips)
        if key is not None:
            lefts = [sum([t.left for t in of]) for name, of in self._keys.items() if name not in (None, key)]
            own += sum([min(own, left) for left in lefts])
        return own / self._rate.chips_per_s

    def check(self, chips: int = 1, deadline_s: float = math.inf, asker: Asker = NOBODY) -> bool:
        """Refuse what cannot be answered; tell whether it comes as it was told to.

        Raises:
            NotReady: the engine has not started, or is stopping.
            TooManyChips: they take longer than the request may take, even alone.
            Overloaded: every place is taken, or there is too much before it.
        """
        if not self.ready:
            raise NotReady("the service is starting or stopping; send the request again in a moment")
        requests, per_s = len(self._all), self._rate.chips_per_s
        if not requests:
            # Not by what was slow for a while alone: what is never accepted never shows that it
            # would be answered in time.
            return self._check_alone(chips, deadline_s, max(per_s, self._first_per_s))
        is_due, kept = False, 0
        if self._promises:
            now_s = asyncio.get_running_loop().time()
            is_due = self._promises.due(asker, now_s)
            kept = 0 if is_due else self._promises.kept(int(min(self.places, deadline_s * per_s)), now_s)
        if requests + kept >= self.places:
            # A place comes with the next answer; where all have many chips, with the last of one.
            before = 0 if self._all.lone else requests * min(ticket.left for ticket in self._all.many)
            raise self._overloaded(chips, asker, before / per_s, f"{requests} requests are already waiting")
        if asker.key is not None and (held := len(self._keys.get(asker.key, ()))) >= self.places - requests:
            why = f"{held} requests of the key {asker.key} are already waiting, and others want places too"
            raise self._overloaded(chips, asker, 0, why)
        self._check_alone(chips, deadline_s, per_s)
        expected_s = self.expected_s(chips, asker.key)
        if expected_s + kept / per_s > deadline_s:
            why = f"the answer would take about {expected_s:.0f} s, and is due in {deadline_s:g} s"
            raise self._overloaded(chips, asker, max(0.0, expected_s - deadline_s), why)
        return is_due

    def _check_alone(self, chips: int, deadline_s: float, per_s: float) -> bool:
        alone_s = chips / per_s
        if chips > 1 and alone_s > deadline_s:
            raise TooManyChips(
                f"{chips} chips take about {alone_s:.0f} s here, and the answer is due in {deadline_s:g} s; "
                "send fewer in one request"
            )
        return False

    def reserve(self, chips: int, deadline_s: float = math.inf, asker: Asker = NOBODY) -> Ticket:
        """Accept a request of so many chips, to be answered within a time.

        Raises:
            ServiceError: see `check`.
        """
        if self.check(chips, deadline_s, asker):
            self._promises.keep(asker)
        self._idle.clear()
        ticket = Ticket(self, chips, asker.key, deadline_s)
        self._all.of_kind(chips).add(ticket)
        if asker.key is not None:
            self._keys.setdefault(asker.key, _Requests()).of_kind(chips).add(ticket)
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """Forget a request that has ended."""
        self._all.of_kind(ticket.chips).remove(ticket)
        key = ticket.key
        if key is not None:
            of_key = self._keys[key]
            of_key.of_kind(ticket.chips).remove(ticket)
            if not of_key:
                del self._keys[key]
        if not self._all:
            self._idle.set()

    def share(self) -> int:
        """Return how many places a request of many chips may hold: one, and a part of the rest."""
        left_over = self.places - len(self._all)
        return min(1 + left_over // len(self._all.many), self._most_for_one)

    def begun(self) -> None:
        """Take a place for a chip."""
        if not self.on_way:  # a request may send nothing for long, or not take its answers
            self._rate.start(asyncio.get_running_loop().time())
        self.on_way += 1

    def answered(self) -> None:
        """Note that a chip was answered."""
        self._rate.count(asyncio.get_running_loop().time())

    def _overloaded(self, chips: int, asker: Asker, after_s: float, why: str) -> Overloaded:
        """Refuse a request until there will be a place, behind those who were refused before."""
        now_s = asyncio.get_running_loop().time()
        wait_s = self._promises.give(asker, now_s, after_s, chips / self._rate.chips_per_s)
        return Overloaded(f"{why}; send the request again in {wait_s} s", wait_s)


_NONE = _Requests()  # of a key that has none
