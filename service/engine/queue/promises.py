"""Who was told when to come again, and what is kept for them.

A place that comes free would go to whoever asks first, and of two who cannot be told apart one is
sent away again. So half of the places, and of the rate at which they come free, are for those who
were told to come: one after the other, each when its time has come, and whoever else asks gets the
other half. Who does not come leaves its place to others.

Knows askers by what tells them apart; no chips and no HTTP. Times are any clock's seconds.
"""

import math
from collections import deque
from collections.abc import Hashable

LONGEST_S = 120  # that anybody is asked to wait
PATIENCE_S = 2.0  # so long after its time a place is kept
_AHEAD_S = 1.0  # so long before it is one kept, to be free by then
_SHARE = 0.5  # of all there is


class _Promise:
    __slots__ = ("asker", "due_s", "open")

    def __init__(self, due_s: float, asker: Hashable) -> None:
        self.due_s, self.asker, self.open = due_s, asker, True


class Promises:
    """All that was promised and is still to be kept."""

    def __init__(self) -> None:
        self._line: deque[_Promise] = deque()
        self._askers: dict[Hashable, deque[_Promise]] = {}
        self._until_s = 0.0  # the last one's turn

    def give(self, asker: Hashable, now_s: float, after_s: float, takes_s: float) -> int:
        """Promise a place; return in how many whole seconds, 1 at least.

        Args:
            asker: who may come.
            now_s: the time.
            after_s: seconds until there is one, if nobody were promised anything.
            takes_s: seconds of all work that it stands for.
        """
        until_s = max(self._until_s, now_s + after_s) + takes_s / _SHARE
        if until_s > now_s + LONGEST_S:
            return LONGEST_S  # too far away to be kept
        self._until_s = until_s
        wait_s = max(1, math.ceil(until_s - now_s))
        promise = _Promise(now_s + wait_s, asker)
        self._line.append(promise)
        self._askers.setdefault(asker, deque()).append(promise)
        return wait_s

    def __bool__(self) -> bool:
        return bool(self._line)

    def due(self, asker: Hashable, now_s: float) -> bool:
        """Tell whether an asker comes as it was told."""
        self._forget(now_s)
        waiting = self._askers.get(asker)
        return waiting is not None and waiting[0].due_s <= now_s

    def keep(self, asker: Hashable) -> None:
        """Note that an asker whose place was `due` has got it."""
        self._drop(self._askers[asker][0])

    def kept(self, places: int, now_s: float) -> int:
        """Return how many of so many places are kept now, for others than whoever asks."""
        most, found = int(_SHARE * places), 0
        for promise in self._line:
            if found >= most or promise.due_s > now_s + _AHEAD_S:
                break
            found += promise.open
        return found

    def _forget(self, now_s: float) -> None:
        while self._line and (not self._line[0].open or self._line[0].due_s + PATIENCE_S < now_s):
            promise = self._line.popleft()
            if promise.open:
                self._drop(promise)

    def _drop(self, promise: _Promise) -> None:
        promise.open = False
        waiting = self._askers[promise.asker]
        waiting.remove(promise)
        if not waiting:
            del self._askers[promise.asker]
