"""One connection: uvicorn's protocol, with bounds on all that comes in and goes out.

Feeds the parser one request at a time: what a client sends behind a request that is being answered
waits unread. A piece ends where a head or a chunked body may end, so the parser never runs ahead.
Whatever breaks a bound is answered by a problem, if an answer is still possible, and cut.
"""

from asyncio import TimerHandle, Transport
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.contract.errors import (
    AddressTooLong,
    HeadersTooLarge,
    MalformedRequest,
    ServiceError,
    SlowRequest,
)
from service.server.edge.connections import Connections
from service.server.edge.heads import body_bytes
from service.server.edge.limits import Limits
from service.server.edge.refusals import refusal

_END = b"\r\n\r\n"  # of a head, and of a chunked body
_PIECE_BYTES = 16 << 10
_PIECES = 8  # in a row; then it is the others' turn
# A chunk of 20 bytes pays for its own size line; smaller ones use up what headers may have.
_CHUNK_SHARE = 1.25
# An answer to who still writes is lost if the connection closes at once: it is reset.
_LINGER_S, _LINGER_BYTES = 1.0, 1 << 20


class EdgeProtocol(HttpToolsProtocol):
    """Reads requests from one connection and answers them in turn."""

    def __init__(self, limits: Limits, connections_: Connections, **given: Any) -> None:  # noqa: ANN401
        super().__init__(**given)
        self._limits, self._all = limits, connections_
        self._rest, self._at = b"", 0  # what is not parsed yet, and from where on
        self._in_head = True
        self._head_end = b""  # the last bytes of a head so far, where its end may be cut in two
        self._past_first_line = False
        self._body_left = 0  # of a body whose length is known
        self._surplus: float = 0  # bytes of this head, or of this body that bring nothing
        self._deaf_since: int | None = None  # bytes dropped since nothing is read any more
        self._unwritten = 0
        self._head_timer: TimerHandle | None = None
        self._write_timer: TimerHandle | None = None
        self._linger_timer: TimerHandle | None = None

    # What comes in.

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Take or refuse a connection."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=0)  # whatever the system does not take is watched
        try:
            self._all.enter(self)
        except ServiceError as error:
            self._refuse(error)
            return
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it all."""
        self._all.leave(self)
        self._unset_keepalive_if_required()
        for timer in (self._head_timer, self._write_timer, self._linger_timer):
            if timer is not None:
                timer.cancel()
        self._rest = b""
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what came, as far as its turn has come."""
        if self._deaf_since is not None:
            self._drop(len(data))
        elif self._rest or self._is_answering():
            self._keep(self._rest[self._at :] + data, 0)
        else:
            self._unset_keepalive_if_required()
            self._parse(data, 0)

    def _keep(self, data: bytes, at: int) -> None:
        self._rest, self._at = data, at
        self.flow.pause_reading()

    def _go_on(self) -> None:
        """Parse what was kept."""
        if not self._rest or self._is_answering() or self.transport.is_closing():
            return
        rest, at = self._rest, self._at
        self._rest, self._at = b"", 0
        self._unset_keepalive_if_required()
        self.flow.resume_reading()
        self._parse(rest, at)

    def _parse(self, data: bytes, at: int) -> None:
        for _ in range(_PIECES):
            end = self._end_of_piece(data, at)
            if not self._feed(data if end - at == len(data) else data[at:end]):
                return
            if end == len(data):
                if self._surplus and self._in_head and self._head_timer is None:
                    self._head_timer = self.loop.call_later(self._limits.header_s, self._head_is_late)
                return
            at = end
            if self._is_answering():
                break  # `on_response_complete` goes on
        else:
            self.loop.call_soon(self._go_on)
        self._keep(data, at)

    def _end_of_piece(self, data: bytes, at: int) -> int:
        """Return where at most one request ends, or before."""
        if self._body_left:
            return min(len(data), at + self._body_left)
        if self._head_end:
            found = (self._head_end + data[at : at + 3]).find(_END)
            if found >= 0:
                return at + found + len(_END) - len(self._head_end)
        found = data.find(_END, at, at + _PIECE_BYTES)
        return found + len(_END) if found >= 0 else min(len(data), at + _PIECE_BYTES)

    def _feed(self, piece: bytes) -> bool:
        """Hand a piece to the parser; tell whether to go on."""
        try:
            self._check_head(piece)
            self.parser.feed_data(piece)
            self._check_body()
        except httptools.HttpParserUpgrade:  # nothing here speaks another protocol, and the body is lost
            self._deaf_since = 0
            self.cycle.keep_alive = False
            return False
        except ServiceError as error:
            self._refuse(error)
            return False
        except httptools.HttpParserError as error:
            cause = error.__context__
            self._refuse(cause if isinstance(cause, ServiceError) else _malformed())
            return False
        if self._in_head:
            self._head_end = (self._head_end + piece)[-3:] if self._surplus else b""
            self._past_first_line = bool(self._surplus) and (self._past_first_line or b"\n" in piece)
        return True

    def _check_head(self, piece: bytes) -> None:
        """Count a piece, before the parser keeps it.

        Raises:
            RequestError: the head has become too long, or begins with a bare line feed.
        """
        begins = not self._surplus
        self._surplus += len(piece)
        if not self._in_head:
            return
        if begins and piece.startswith(b"\n"):
            raise _malformed()
        if self._surplus > self._limits.header_bytes:
            if self._past_first_line or b"\n" in piece:
                raise HeadersTooLarge(f"the request's head has more than {self._limits.header_bytes} bytes")
            raise self._too_long()

    def _check_body(self) -> None:
        """Forget what the body has paid for.

        Raises:
            MalformedRequest: there is much beside it.
        """
        if not self._in_head and self._surplus > self._limits.header_bytes:
            raise MalformedRequest("the body's chunks are too small, or extensions or trailers too long")
        self._surplus = max(0, self._surplus)

    # What the parser finds.

    def on_headers_complete(self) -> None:
        """Check a head, and have it answered."""
        limits = self._limits
        if len(self.url) > limits.url_bytes:
            raise self._too_long()
        if len(self.headers) > limits.headers:
            raise HeadersTooLarge(f"the request has more than {limits.headers} headers")
        self._body_left = body_bytes(self.parser.get_http_version(), self.headers)
        super().on_headers_complete()
        self.headers = []  # trailers are nobody's
        self._in_head, self._surplus, self._head_end, self._past_first_line = False, 0, b"", False
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        self._all.work(self)

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        self._surplus -= _CHUNK_SHARE * len(body)
        if self._body_left:
            self._body_left -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Note that the next bytes are another request's."""
        self._check_body()
        self._in_head, self._surplus, self._body_left = True, 0, 0
        super().on_message_complete()

    # What goes out.

    def on_response_complete(self) -> None:
        """Turn to the next request."""
        super().on_response_complete()
        if self.transport.is_closing():
            return
        if not self._in_head:
            self.transport.close()  # a body that is not over, and that nobody waits for
            return
        self._all.wait(self)
        if self._rest:
            self.loop.call_soon(self._go_on)

    def pause_writing(self) -> None:
        """Watch how the client takes its answer."""
        super().pause_writing()
        self._watch_writing()

    def resume_writing(self) -> None:
        """Watch no more: it has taken all."""
        super().resume_writing()
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def _watch_writing(self) -> None:
        self._unwritten = self.transport.get_write_buffer_size()
        self._write_timer = self.loop.call_later(self._limits.stall_s, self._check_writing)

    def _check_writing(self) -> None:
        if self._unwritten - self.transport.get_write_buffer_size() < self._limits.least_bytes:
            self.transport.abort()
        else:
            self._watch_writing()

    # How it ends.

    def give_way(self) -> None:
        """Close, for another connection to have its place."""
        self.transport.abort()

    def _wait(self) -> None:
        self._all.wait(self)
        self.timeout_keep_alive_task = self.loop.call_later(
            self._limits.idle_s, self.timeout_keep_alive_handler
        )

    def _head_is_late(self) -> None:
        self._head_timer = None
        seconds = self._limits.header_s
        self._refuse(SlowRequest(f"the request's head did not end within {seconds:g} s; send it at once"))

    def _is_answering(self) -> bool:
        """Tell whether a request has come as a whole, and its answer is not over."""
        cycle = self.cycle
        return cycle is not None and not cycle.more_body and not cycle.response_complete

    def _too_long(self) -> AddressTooLong:
        return AddressTooLong(f"path and query have more than {self._limits.url_bytes} bytes")

    def _refuse(self, error: ServiceError) -> None:
        """Answer by a problem, unless another answer has begun, and read nothing any more."""
        self._unset_keepalive_if_required()
        self._deaf_since, self._rest = 0, b""
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected, cycle.waiting_for_100_continue = True, False
            cycle.message_event.set()
            if cycle.response_started:
                self.transport.abort()
                return
        self.transport.write(refusal(error, self.server_state.default_headers))
        self.transport.write_eof()
        self.flow.resume_reading()
        self._linger_timer = self.loop.call_later(_LINGER_S, self.transport.abort)

    def _drop(self, size_bytes: int) -> None:
        assert self._deaf_since is not None
        self._deaf_since += size_bytes
        if self._deaf_since > _LINGER_BYTES and self._linger_timer is not None:
            self.transport.abort()


def _malformed() -> MalformedRequest:
    return MalformedRequest(
        "what came is no request of HTTP/1.1: a malformed first line, header or chunk, a bare line feed, or "
        "a length given twice; see RFC 9112"
    )
