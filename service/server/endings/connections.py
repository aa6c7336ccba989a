"""Clients that go while they wait, and clients that have said all and still listen.

TCP says the same of both: nothing more will come, and uvicorn would close the connection. Here it
stays open, and the answer's first bytes, which are those of every answer, go out one after the
other: the system of a client that has gone resets the connection when they come.

`Connection` is uvicorn's protocol with that alone; `edge/protocol.py` adds all bounds.
"""

import asyncio
from collections.abc import Callable
from typing import Any, cast

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_EXTENSION = "chipvote.connection"
_OPENING = b"HTTP/1.1 "  # of every answer
FIRST_PAUSE_S = 0.02  # for the other side's system to say that nobody is there; then twice as long


def has_come(scope: Scope) -> bool:
    """Tell whether a request is there as a whole, so that nobody has to wait for its body."""
    connection = _of(scope)
    return connection is not None and not connection.cycle.more_body


def is_lost(scope: Scope) -> bool:
    """Tell whether a request's client has gone, as far as that is known."""
    connection = _of(scope)
    return connection is not None and connection.lost


class WhileConnected:
    """Has something done if the client goes before the end of the `with`.

    Under a server that knows no `Connection`, nothing is.
    """

    __slots__ = ("_connection", "_give_up")

    def __init__(self, scope: Scope, give_up: Callable[[], None]) -> None:
        self._connection = _of(scope)
        self._give_up = give_up

    def __enter__(self) -> None:
        if self._connection is not None:
            if self._connection.lost:
                self._give_up()
            self._connection.give_up = self._give_up

    def __exit__(self, *_: object) -> None:
        if self._connection is not None:
            self._connection.give_up = None


def _of(scope: Scope) -> "Connection | None":
    found: Connection | None = scope.get("extensions", {}).get(_EXTENSION)
    return found


class Connection(HttpToolsProtocol):
    """One connection. Its requests are answered one after the other."""

    lost = False
    give_up: Callable[[], None] | None = None

    def on_message_begin(self) -> None:
        """Let the request's route find its connection."""
        super().on_message_begin()
        cast(dict[str, Any], self.scope)["extensions"] = {_EXTENSION: self}

    def on_message_complete(self) -> None:
        """Go on reading behind a request, or its client's going would not be heard of.

        uvicorn stops amid a large body, and again where another request comes before the answer.
        """
        super().on_message_complete()
        if not self.pipeline:
            self.flow.resume_reading()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Keep the connection for an answer that is under way."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete or cycle.more_body:
            return False  # nothing was asked, or not all that was going to be
        cycle.keep_alive = False
        if not self.pipeline and not cycle.response_started:
            cycle.transport = cast(asyncio.Transport, _Begun(self.transport))
            cycle.waiting_for_100_continue = False
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever works for this client."""
        super().connection_lost(exc)
        self.lost = True
        if self.give_up:
            self.give_up()


class _Begun:
    """A transport on which the first bytes of an answer go out before it, one by one."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport, self._sent = transport, 0
        self._send(FIRST_PAUSE_S)

    def write(self, data: bytes) -> None:
        """Write the answer, from where its beginning ends."""
        self._next.cancel()
        self._transport.write(data[self._sent :])
        self._sent = 0

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._transport, name)

    def _send(self, pause_s: float) -> None:
        """Send another byte: nobody reads from this connection, only writing hears of a reset."""
        if self._sent < len(_OPENING) and not self._transport.is_closing():
            self._transport.write(_OPENING[self._sent : self._sent + 1])
            self._sent += 1
            self._next = asyncio.get_running_loop().call_later(pause_s, self._send, 2 * pause_s)
