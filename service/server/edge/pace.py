"""At least so many bytes in each stretch of time: who is slower is cut off.

For bodies on their way in. A stretch ends as soon as it has brought enough, and the next begins:
what came quickly at first is no credit for silence afterwards.
"""

import asyncio

from starlette.types import Message, Receive


class Pace:
    """How one body keeps up."""

    def __init__(self, stall_s: float, least_rate: float) -> None:
        """Begin the first stretch with the first wait.

        Args:
            stall_s: length of a stretch in seconds.
            least_rate: bytes a second.
        """
        self.stall_s = stall_s
        self._least_bytes = stall_s * least_rate
        self._got_bytes = 0
        self._ends_s: float | None = None

    def count(self, size_bytes: int) -> None:
        """Note what came."""
        self._got_bytes += size_bytes
        if self._got_bytes >= self._least_bytes:
            self._got_bytes, self._ends_s = 0, None

    async def next(self, receive: Receive) -> Message:
        """Wait for the next piece.

        Raises:
            TimeoutError: the stretch ended before it brought enough.
        """
        if self._ends_s is None:
            self._ends_s = asyncio.get_running_loop().time() + self.stall_s
        async with asyncio.timeout_at(self._ends_s):
            return await receive()
