"""How many chips a second are answered while any are on their way."""

import math

MEMORY_S = 10.0  # seconds of work after which what was seen counts for a third


class Rate:
    """A mean over the time at work, exponentially weighted; times are any clock's seconds."""

    def __init__(self, first: float = math.inf) -> None:
        """Begin with what was seen elsewhere, in chips a second; it counts as a second of work."""
        self._chips, self._seconds = (first, 1.0) if first < math.inf else (0.0, 0.0)
        self._seen_s = 0.0

    def start(self, now_s: float) -> None:
        """Be at work from now on; the time since the last answer was none of work."""
        self._seen_s = now_s

    def count(self, now_s: float) -> None:
        """Count a chip that is answered now."""
        passed_s = now_s - self._seen_s
        kept = math.exp(-passed_s / MEMORY_S)
        self._chips = self._chips * kept + 1
        self._seconds = self._seconds * kept + passed_s
        self._seen_s = now_s

    @property
    def chips_per_s(self) -> float:
        """The rate; infinite when nobody knows."""
        return self._chips / self._seconds if self._seconds else math.inf
