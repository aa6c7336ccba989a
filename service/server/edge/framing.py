"""Where requests end in what comes in, and how much of them is neither body nor needed.

The parser gets pieces that hold the end of one request at most, so that it never runs ahead of the
answers, and a bounded head. Knows bytes and limits; the parser tells it what it found.
"""

from service.server.edge.errors import AddressTooLong, HeadersTooLarge, MalformedRequest
from service.server.edge.limits import Limits

_END = b"\r\n\r\n"  # of a head, and of a chunked body
_PIECE_BYTES = 2 << 10
# Of chunk sizes, extensions and trailers. A chunk of 20 bytes pays for its own size line.
_SURPLUS_BYTES, _CHUNK_SHARE = 2 << 10, 1.25
_MOST_TRAILERS = 10


class Framing:
    """How far one connection's present request has come."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._body_left = 0  # of a body whose length is known
        self._surplus: float = 0  # bytes of this head, or of this body that bring nothing
        self._last = b""  # bytes of this head or of its chunks, where the end may be cut in two
        self._lines = 0  # of this head
        self.in_head = True

    @property
    def head_has_begun(self) -> bool:
        """Whether a part of a head is there."""
        return self.in_head and self._surplus > 0

    def end_of_piece(self, data: bytes, at: int) -> int:
        """Return how far to parse at once."""
        if self._body_left:
            return min(len(data), at + self._body_left)
        if self._last:
            found = (self._last + data[at : at + 3]).find(_END)
            if found >= 0:
                return at + found + len(_END) - len(self._last)
        found = data.find(_END, at, at + _PIECE_BYTES)
        return found + len(_END) if found >= 0 else min(len(data), at + _PIECE_BYTES)

    def before(self, piece: bytes) -> None:
        """Count a piece that is to be parsed.

        Raises:
            RequestError: the head has become too long, or begins with a bare line feed.
        """
        begins = not self._surplus
        self._surplus += len(piece)
        if not self.in_head:
            return
        if begins and piece.startswith(b"\n"):
            raise MalformedRequest("the request begins with a bare line feed; end lines by CR LF")
        self._lines += piece.count(b"\n")
        if self._lines > self._limits.headers + 2:  # the first and the last are none
            raise HeadersTooLarge(f"the request has more than {self._limits.headers} headers")
        if self._surplus > self._limits.header_bytes:
            if self._lines:
                raise HeadersTooLarge(f"the request's head has more than {self._limits.header_bytes} bytes")
            raise self._too_long()

    def after(self, piece: bytes) -> None:
        """Note that a piece is parsed.

        Raises:
            MalformedRequest: there is much beside the body.
        """
        self._check_body()
        if self.head_has_begun or not (self.in_head or self._body_left):
            self._last = (self._last + piece)[-3:]

    def head(self, url: bytes, body_bytes: int) -> None:
        """Take a whole head.

        Args:
            url: path and query.
            body_bytes: length of the body; 0 for none or for chunks.

        Raises:
            AddressTooLong: it is.
        """
        if len(url) > self._limits.url_bytes:
            raise self._too_long()
        self.in_head, self._body_left = False, body_bytes
        self._surplus, self._last, self._lines = 0, b"", 0

    def body(self, size_bytes: int) -> None:
        """Take a part of the body."""
        self._surplus -= _CHUNK_SHARE * size_bytes
        if self._body_left:
            self._body_left -= size_bytes

    def end(self) -> None:
        """Turn to the next request.

        Raises:
            MalformedRequest: see `after`.
        """
        self._check_body()
        self.in_head, self._surplus, self._body_left, self._last = True, 0, 0, b""

    def _check_body(self) -> None:
        if not self.in_head and self._surplus > _SURPLUS_BYTES:
            raise MalformedRequest("the body's chunks are too small, or extensions or trailers too long")
        self._surplus = max(0, self._surplus)

    def _too_long(self) -> AddressTooLong:
        return AddressTooLong(f"path and query have more than {self._limits.url_bytes} bytes")


class Trailers(list[tuple[bytes, bytes]]):
    """What comes behind a chunked body: nobody's, and not much."""

    def append(self, _: tuple[bytes, bytes]) -> None:
        """Note one.

        Raises:
            MalformedRequest: there are too many.
        """
        super().append((b"", b""))
        if len(self) > _MOST_TRAILERS:
            raise MalformedRequest(f"the request has more than {_MOST_TRAILERS} trailers")
