"""What every request passes on its way to a route and back, whatever the route.

Knows ASGI; nothing of chips.
"""

from starlette.types import ASGIApp, Message, Receive, Scope, Send


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
        found = {**scope, "method": "GET"}
        try:
            await self._app(found, receive, send_no_body)
        finally:
            if "route" in found:
                scope["route"] = found["route"]


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
