"""A small answer as a whole: its head leaves with the beginning of its body, by one system call.

uvicorn writes the two one after the other, which can be a second call, a second packet, and a
client that wakes up for nothing.
"""

from asyncio import Transport

_CONTINUE = b"HTTP/1.1 100 "


class Whole:
    """What uvicorn writes one answer to."""

    __slots__ = ("_head", "_transport")

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._head: bytes | None = None

    def write(self, data: bytes) -> None:
        """Write what comes; keep the head until more does."""
        if self._head is None and not data.startswith(_CONTINUE):
            self._head = data
        elif self._head:
            head, self._head = self._head, b""
            self._transport.write(head + data)
        else:
            self._transport.write(data)

    def end(self) -> None:
        """Write what is kept, because nothing more comes."""
        if self._head:
            self.write(b"")

    def close(self) -> None:
        """Close behind what was written."""
        self.end()
        self._transport.close()

    def is_closing(self) -> bool:
        """Tell whether nothing can be written any more."""
        return self._transport.is_closing()
