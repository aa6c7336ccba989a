"""Requests that the server gives up when its time to shut down is over: answered, all the same.

Knows ASGI and problems.
"""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.contract.errors import NotReady
from service.server import problems


class AnswerCancelled:
    """Answers a request whose task is cancelled by a problem that asks to send it again."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def note_begin(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, note_begin)
        except asyncio.CancelledError:
            if begun:
                raise
            stopped = NotReady("the service stopped before the answer was there; send the request again")
            await problems.response(stopped)(scope, receive, send)
