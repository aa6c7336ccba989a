"""One connection: uvicorn's protocol, with bounds on all that comes in and goes out.

Feeds the parser one request at a time: what a client sends behind a request that is being answered
waits unread. A piece ends where a head or a chunked body may end, so the parser never runs ahead.
Whatever breaks a bound is answered by a problem, if an answer is still possible, and cut.
"""

from asyncio import TimerHandle, Transport
from collections.abc import Callable
from typing import Any, cast

import httptools
from uvicorn.protocols.http.flow_control import FlowControl

from service.contract.errors import ServiceError
from service.server.edge.connections import Connections
from service.server.edge.errors import SlowRequest
from service.server.edge.framing import Framing, Trailers
from service.server.edge.heads import body_bytes
from service.server.edge.limits import Limits
from service.server.edge.refusals import malformed, refusal
from service.server.edge.whole import Whole
from service.server.endings.connections import Connection

_PIECES = 8  # in a row; then it is the others' turn
# An answer to who still writes is lost if the connection closes at once: it is reset.
_LINGER_S, _LINGER_BYTES = 1.0, 256 << 10
_GLANCES = 8  # at an answer that is being taken, in each stretch of `stall_s`
_LATER_BYTES = 16 << 10  # of answers wait for the end of the loop's turn; larger ones go out at once


class _Flow(FlowControl):
    """Does not read on while something is kept, though an application asks for more."""

    held = False

    def resume_reading(self) -> None:
        if not self.held:
            super().resume_reading()


class EdgeProtocol(Connection):
    """Reads requests from one connection and answers them in turn."""

    flow: _Flow

    def __init__(
        self,
        limits: Limits,
        everyone: Connections,
        count: Callable[[int], None],
        **given: Any,  # noqa: ANN401
    ) -> None:
        """Begin.

        Args:
            limits: of this connection.
            everyone: this connection and the others.
            count: hears the status of each refusal.
            given: uvicorn's own.
        """
        super().__init__(**given)
        self._limits, self._all, self._count = limits, everyone, count
        self._rest, self._at = b"", 0  # what is not parsed yet, and from where on
        self._framing = Framing(limits)
        self._deaf_since: int | None = None  # bytes dropped since nothing is read any more
        self._unwritten, self._stretch_ends_s = 0, 0.0  # of an answer that is being taken
        self._head_timer: TimerHandle | None = None
        self._write_timer: TimerHandle | None = None
        self._linger_timer: TimerHandle | None = None

    # What comes in.

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Take or refuse a connection."""
        super().connection_made(transport)
        self.flow = _Flow(transport)
        transport.set_write_buffer_limits(high=_LATER_BYTES)
        try:
            self._all.enter(self)
        except ServiceError as error:
            if len(self.connections) > self._limits.connections + self._limits.refused:
                self._deaf_since = 0
                transport.abort()  # in one second there may be more of them than open files
            else:
                self._refuse(error)
            return
        self.timeout_keep_alive_task = self.loop.call_later(
            self._limits.idle_s, self.timeout_keep_alive_handler
        )
        self.loop.call_soon(self._await_request)  # after what has come already was read

    def _await_request(self) -> None:
        if self.timeout_keep_alive_task is not None:  # nothing has come
            self._all.wait(self)

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
        elif self._all.turns.now():
            self._unset_keepalive_if_required()
            self._parse(data, 0)
        else:
            # It has asked, and must neither give way nor be late before its turn has come.
            self._all.work(self)
            self._unset_keepalive_if_required()
            self._keep(data, 0)
            self._all.later(self, self._go_on)

    def _keep(self, data: bytes, at: int) -> None:
        self._rest, self._at = data, at
        self.flow.pause_reading()
        self.flow.held = True

    def _go_on(self) -> None:
        """Parse what was kept."""
        if not self._rest or self._is_answering() or self.transport.is_closing():
            return
        rest, at = self._rest, self._at
        self._rest, self._at = b"", 0
        self._unset_keepalive_if_required()
        self.flow.held = False
        self.flow.resume_reading()
        self._parse(rest, at)

    def _parse(self, data: bytes, at: int) -> None:
        for _ in range(_PIECES):
            end = self._framing.end_of_piece(data, at)
            if not self._feed(data if end - at == len(data) else data[at:end]):
                return
            if end == len(data):
                if self._framing.head_has_begun:
                    self._await_head()
                return
            at = end
            if self._is_answering():
                break  # `on_response_complete` goes on
        else:
            self._all.later(self, self._go_on)
        self._keep(data, at)

    def _await_head(self) -> None:
        """Wait for the rest of a head."""
        if not self.transport.get_write_buffer_size():
            self._all.wait(self)
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self._limits.header_s, self._head_is_late)

    def _feed(self, piece: bytes) -> bool:
        """Hand a piece to the parser; tell whether to go on."""
        try:
            self._framing.before(piece)
            self.parser.feed_data(piece)
            self._framing.after(piece)
        except httptools.HttpParserUpgrade:  # nothing here speaks another protocol, and the body is lost
            self._deaf_since = 0
            self.cycle.keep_alive = False
            return False
        except ServiceError as error:
            self._refuse(error)
            return False
        except httptools.HttpParserError as error:
            cause = error.__context__
            self._refuse(cause if isinstance(cause, ServiceError) else malformed())
            return False
        return True

    # What the parser finds.

    def on_headers_complete(self) -> None:
        """Check a head, and have it answered."""
        size_bytes = body_bytes(self.parser.get_http_version(), self.headers)
        self._framing.head(self.url, size_bytes)
        super().on_headers_complete()
        self._answer = Whole(self.transport)
        self.cycle.transport = cast(Transport, self._answer)
        self.headers = Trailers()
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        self._all.work(self)

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        self._framing.body(len(body))
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Note that the next bytes are another request's."""
        self._framing.end()
        super().on_message_complete()

    # What goes out.

    def on_response_complete(self) -> None:
        """Turn to the next request."""
        self._answer.end()
        self.loop.call_soon(self._watch_writing)  # what the system has not taken by then
        super().on_response_complete()
        if self.transport.is_closing():
            return
        if not self._framing.in_head:
            self.transport.close()  # a body that is not over, and that nobody waits for
            return
        if self._rest:
            self._all.later(self, self._go_on)

    def pause_writing(self) -> None:
        """Watch how the client takes its answer."""
        super().pause_writing()
        self._watch_writing()

    def resume_writing(self) -> None:
        """Watch the rest anew: it has taken most."""
        super().resume_writing()
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None
        self._watch_writing()

    def _watch_writing(self) -> None:
        unwritten = self.transport.get_write_buffer_size()
        if not unwritten:
            self._write_timer = None
            if self._is_silent():  # only now: an answer that is still being taken gives way to nobody
                self._all.wait(self)
            return
        now_s = self.loop.time()
        if self._write_timer is None or self._unwritten - unwritten >= self._limits.least_bytes:
            self._unwritten, self._stretch_ends_s = unwritten, now_s + self._limits.stall_s
        if self._write_timer is not None:
            self._write_timer.cancel()  # where this came before it
        if now_s >= self._stretch_ends_s:
            self.transport.abort()
        else:
            self._write_timer = self.loop.call_later(self._limits.stall_s / _GLANCES, self._watch_writing)

    # How it ends.

    def give_way(self) -> None:
        """Close, for another connection to have its place."""
        self.transport.abort()

    def _head_is_late(self) -> None:
        """Refuse it, in turn: many may be late at once."""
        self._all.later(self, self._refuse_late_head)

    def _refuse_late_head(self) -> None:
        if self._head_timer is None or self.transport.is_closing():  # it has ended after all
            return
        self._head_timer = None
        seconds = self._limits.header_s
        self._refuse(SlowRequest(f"the request's head did not end within {seconds:g} s; send it at once"))

    def _is_answering(self) -> bool:
        """Tell whether a request has come as a whole, and its answer is not over."""
        cycle = self.cycle
        return cycle is not None and not cycle.more_body and not cycle.response_complete

    def _is_silent(self) -> bool:
        """Tell whether the last answer is over, and nothing has come since."""
        cycle = self.cycle
        return cycle is not None and cycle.response_complete and not self._rest

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
        self._count(error.status)
        self.transport.write(refusal(error, self.server_state.default_headers))
        self.transport.write_eof()
        self.flow.held = False
        self.flow.resume_reading()
        self._linger_timer = self.loop.call_later(_LINGER_S, self.transport.abort)

    def _drop(self, size_bytes: int) -> None:
        assert self._deaf_since is not None
        self._deaf_since += size_bytes
        if self._deaf_since > _LINGER_BYTES and self._linger_timer is not None:
            self.transport.abort()
