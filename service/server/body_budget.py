"""One budget for the bytes of all bodies in a process, from the first one read to the last answer.

A body may hold as much as it leaves free for all others. So one can have half of the budget, n that
want it all get a share of 1/(n + 1) each, and however many stall on the way, what is left lets
small bodies through: no number of large ones shuts them out.

Source: Choudhury and Hahne, "Dynamic queue length thresholds for shared-memory packet switches",
IEEE/ACM Transactions on Networking 6 (1998), with a factor of 1.

Knows bytes; no requests. Runs on one event loop.
"""

from service.contract.errors import Overloaded


class Budget:
    """How many bytes there are, and how many are taken."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self.taken_bytes = 0

    def fits(self, held_bytes: int, more_bytes: int) -> bool:
        """Tell whether who holds some bytes may hold so many more."""
        return held_bytes + more_bytes <= self._most_bytes - self.taken_bytes - more_bytes


class Share:
    """What one request holds; given back at the end of its `with`."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._held_bytes = 0

    def expect(self, size_bytes: int) -> None:
        """Refuse early what `take` would refuse as things are; takes nothing.

        Raises:
            Overloaded: other bodies leave too little.
        """
        if not self._budget.fits(self._held_bytes, size_bytes):
            raise Overloaded(
                "the bodies of other requests leave no room for this one; send it again in a moment, or "
                "fewer chips at once"
            )

    def take(self, size_bytes: int) -> None:
        """Take some bytes more.

        Raises:
            Overloaded: see `expect`.
        """
        self.expect(size_bytes)
        self._held_bytes += size_bytes
        self._budget.taken_bytes += size_bytes

    def __enter__(self) -> "Share":
        return self

    def __exit__(self, *_: object) -> None:
        self._budget.taken_bytes -= self._held_bytes
        self._held_bytes = 0
