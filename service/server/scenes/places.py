"""How many scenes are under way: each has a process, and chips in the fair queue, for minutes.

Knows keys by their names. Runs on one event loop.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from service.contract.errors import Overloaded

_RETRY_S = 10


class Places:
    """The places for scenes, of which a key has no more than it leaves to others."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: Counter[str | None] = Counter()

    def check(self, key: str | None) -> None:
        """Refuse early what `hold` would refuse now.

        Raises:
            Overloaded: there is no place.
        """
        taken = self._held.total()
        if taken == self._most or (key is not None and self._held[key] >= max(1, self._most // 2)):
            raise Overloaded(
                f"{taken} scenes are being answered already; send it again in {_RETRY_S} s",
                _RETRY_S,
            )

    @contextmanager
    def hold(self, key: str | None) -> Iterator[None]:
        """Take a place.

        Args:
            key: the name of who asks; None where no keys are in force.

        Raises:
            Overloaded: see `check`.
        """
        self.check(key)
        self._held[key] += 1
        try:
            yield
        finally:
            self._held[key] -= 1
