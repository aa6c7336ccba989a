"""What becomes of one request, noted where it is known and told in one line at its end."""

import time
from contextvars import ContextVar


class Note:
    """The notes on one request."""

    __slots__ = (
        "_since_s",
        "began_s",
        "chips",
        "client",
        "failed",
        "key",
        "request_id",
        "route",
        "stages_ms",
    )

    def __init__(self, request_id: str = "", client: str = "") -> None:
        self.request_id, self.client = request_id, client
        self.route: str | None = None  # the template, never the path
        self.key: str | None = None  # its name
        self.chips = self.failed = 0
        self.stages_ms: dict[str, float] = {}
        self.began_s = self._since_s = time.perf_counter()

    def ended(self, stage: str) -> None:
        """Note how long a stage took, which began when the one before ended."""
        now_s = time.perf_counter()
        self.stages_ms[f"{stage}_ms"] = round(1000 * (now_s - self._since_s), 2)
        self._since_s = now_s


_CURRENT: ContextVar[Note] = ContextVar("request")


def begin(request_id: str, client: str) -> Note:
    """Begin the notes on the request of this task, which an address sent."""
    note = Note(request_id, client)
    _CURRENT.set(note)
    return note


def current() -> Note:
    """Return the notes on the request of this task; some that nobody reads where there is none."""
    return _CURRENT.get(None) or Note()
