"""What is left of a body when its answer is there: read and dropped before the connection closes.

A connection that closes while its client still writes is reset, and the answer is lost on the way:
nginx says 502, others nothing at all. So an answer that needs no more of the body goes out at once
and whole, and only the word that it is complete, after which the server may close, waits until the
body has ended or a bound is reached.

Knows ASGI, and nothing of routes. Holds no body: it drops after the application has returned.
"""

import asyncio
from contextlib import suppress

from starlette.types import ASGIApp, Message, Receive, Scope, Send

# How long nginx itself lingers: half a minute in all, and 5 s without a byte.
MOST_S = 30.0
SILENCE_S = 5.0
# Several times what a body may have by default, so that who sends too much hears so. To read a GiB
# and drop it takes about a second of one processor, half of what it takes to keep it.
MOST_BYTES = 1 << 30
# A client that asked whether to send its body and got its answer instead sends none; one that had
# given up waiting (curl does after a second) may have begun.
UNASKED_S = 1.0


class Drain:
    """Ends every answer after the body that it answers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or not _has_body(scope):
            await self._app(scope, receive, send)
            return
        body = _Body(scope, receive)
        held = False

        async def send_all_but_the_end(message: Message) -> None:
            nonlocal held
            if body.is_left():
                if message["type"] == "http.response.start":
                    if message["status"] == 408:
                        body.give_up()
                    if body.may_outlast_the_bounds():
                        message = {**message, "headers": [*message["headers"], (b"connection", b"close")]}
                elif not message.get("more_body", False):
                    held, message = True, {**message, "more_body": True}
            await send(message)

        try:
            await self._app(scope, body.receive, send_all_but_the_end)
        except Exception:
            await body.drop()  # for the answer that the framework makes of it
            raise
        if held:
            await body.drop()
            await send({"type": "http.response.body"})


def _has_body(scope: Scope) -> bool:
    for name, value in scope["headers"]:
        if name == b"transfer-encoding" or (name == b"content-length" and value not in (b"", b"0")):
            return True
    return False


class _Body:
    """How much of one request's body has come."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._scope, self._receive = scope, receive
        self._read_bytes = 0
        self._asked = self._ended = self._given_up = False

    async def receive(self) -> Message:
        """Hand on the next piece."""
        self._asked = True
        message = await self._receive()
        if message["type"] != "http.request" or not message.get("more_body", False):
            self._ended = True
        self._read_bytes += len(message.get("body", b""))
        return message

    def is_left(self) -> bool:
        """Tell whether something has not been read."""
        return not (self._ended or self._given_up)

    def may_outlast_the_bounds(self) -> bool:
        """Tell whether the connection is of no use afterwards: it may be amid a body then."""
        claimed = self._header(b"content-length")
        return (
            self._given_up
            or self._unasked()
            or not claimed.isdigit()
            or len(claimed) > 19
            or int(claimed) - self._read_bytes > MOST_BYTES
        )

    def give_up(self) -> None:
        """Wait for no more: whoever is too slow has been waited for."""
        self._given_up = True

    async def drop(self) -> None:
        """Read on to the end, or to a bound."""
        silence_s = UNASKED_S if self._unasked() else SILENCE_S
        most_bytes = self._read_bytes + MOST_BYTES
        with suppress(TimeoutError):
            async with asyncio.timeout(MOST_S):
                while self.is_left() and self._read_bytes < most_bytes:
                    async with asyncio.timeout(silence_s):
                        await self.receive()

    def _unasked(self) -> bool:
        return not self._asked and self._header(b"expect").lower() == b"100-continue"

    def _header(self, name: bytes) -> bytes:
        return next((bytes(value) for key, value in self._scope["headers"] if key == name), b"")
