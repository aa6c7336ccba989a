"""What becomes of one request, noted where it is known and told in one line at its end."""

import time
from contextvars import ContextVar


class Note:
    """The notes on one request."""

    __slots__ = (
        "_ends_s", "began_s", "chips", "client", "failed", "key", "request_id", "route", "status",
    )  # fmt: skip

    def __init__(self, request_id: str = "", client: str = "") -> None:
        self.request_id, self.client = request_id, client
        self.route: str | None = None  # the template, never the path
        self.status = 0  # of the answer, once that has begun; at the end 499 if nobody was there
        self.key: str | None = None  # its name
        self.chips = self.failed = 0
        self._ends_s: list[tuple[str, float]] = []
        self.began_s = time.perf_counter()

    def ended(self, stage: str) -> None:
        """Note that a stage has ended, and that the next one begins."""
        self._ends_s.append((stage, time.perf_counter()))

    @property
    def stages_ms(self) -> dict[str, float]:
        """How long each stage took."""
        found, since_s = {}, self.began_s
        for stage, end_s in self._ends_s:
            found[f"{stage}_ms"] = round(1000 * (end_s - since_s), 2)
            since_s = end_s
        return found


_CURRENT: ContextVar[Note] = ContextVar("request")


def begin(request_id: str, client: str) -> Note:
    """Begin the notes on the request of this task, which an address sent."""
    note = Note(request_id, client)
    _CURRENT.set(note)
    return note


def current() -> Note:
    """Return the notes on the request of this task; some that nobody reads where there is none."""
    return _CURRENT.get(None) or Note()
