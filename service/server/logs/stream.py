"""Where the log's lines go: a descriptor whose reader may be slow, stand still or be gone.

Whoever reads the log must not hold up who is served. A reader that stands still is waited for once,
for a moment; from then on lines are dropped until it reads again.
"""

import os
import select
import threading

PIECE_BYTES = 4096  # that a pipe takes whole once it takes anything: PIPE_BUF of Linux
PATIENCE_MS = 100


class LogStream:
    """A text stream that never raises, and hardly ever waits; from any thread."""

    def __init__(self, descriptor: int) -> None:
        self.dropped = 0  # lines since the last one that went out
        self._descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)
        self._lock = threading.Lock()
        self._cut = b""  # ends a line that was begun

    def write(self, line: str) -> int:
        """Write a line with its end, or drop it."""
        data = line.encode(errors="backslashreplace")
        with self._lock:
            self.dropped = 0 if self._write(self._cut + data) else self.dropped + 1
        return len(line)

    def flush(self) -> None:
        """Do nothing: what was written is gone already."""

    def _write(self, data: bytes) -> bool:
        left = memoryview(data)
        try:
            while left and self._poll.poll(0 if self.dropped else PATIENCE_MS):
                left = left[os.write(self._descriptor, left[:PIECE_BYTES]) :]
        except OSError:  # nobody will read it
            return False
        if len(left) < len(data):
            self._cut = b"\n" if left else b""
        return not left
