"""What every request passes on its way to a route and back, whatever the route.

Knows ASGI and the metrics; nothing of chips.
"""

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.metrics import Metrics
from service.server.logs import notes


class HeadAsGet:
    """Answers HEAD as GET, without the body (RFC 9110, 9.3.2): every route, and every error too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_no_body(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        # A scope of its own: the server must go on knowing that it answers HEAD.
        await self._app({**scope, "method": "GET"}, receive, send_no_body)


class CountRequests:
    """Counts every request by route and status, and times it."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500  # what the client gets if no answer begins

        async def note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        began_s = time.perf_counter()
        try:
            await self._app(scope, receive, note_status)
        finally:
            # A path that no route has must not become a label: anybody can make up paths.
            route = scope["route"].path if "route" in scope else "unknown"
            self._metrics.requests.labels(route, status).inc()
            self._metrics.latency.labels(route).observe(time.perf_counter() - began_s)
            note = notes.current()
            note.route = route
            if note.key:  # a name from the file, so there are not many
                self._metrics.key_requests.labels(note.key, status).inc()
                self._metrics.key_chips.labels(note.key).inc(note.chips)


class RelativeRedirects:
    """Makes the framework's redirects relative to the path that was asked for.

    These redirects add or take slashes at a path's end. Only who asked knows under which name and
    path this service is reached.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""

        async def send_relative(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 307:
                headers = [
                    (name, _relative(value, scope["path"]) if name == b"location" else value)
                    for name, value in message["headers"]
                ]
                message = {**message, "headers": headers}
            await send(message)

        await self._app(scope, receive, send_relative)


def _relative(location: bytes, path: str) -> bytes:
    """Lead from a path to the same with its last slashes gone, or with one more."""
    target, mark, query = location.partition(b"?")
    name = target.rstrip(b"/").rpartition(b"/")[2]
    slashes = len(path) - len(path.rstrip("/"))
    return (b"../" * slashes + name if slashes else name + b"/") + mark + query
