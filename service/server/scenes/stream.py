"""Lines of JSON that go out one by one, and what is held until the last of them.

Knows ASGI, and nothing of what the lines say but the one that ends a stream early.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing
from typing import Any

from fastapi.responses import JSONResponse
from pydantic_core import to_json
from starlette.types import Receive, Scope, Send

from service.answers.predictions import problem
from service.contract.errors import NotReady

MEDIA_TYPE = "application/x-ndjson"


class Lines(JSONResponse):
    """An answer of lines; as JSON to the framework, which then describes what a line is."""

    media_type = MEDIA_TYPE

    def __init__(
        self, lines: AsyncGenerator[Any, None] | None = None, held: AsyncExitStack | None = None
    ) -> None:
        """Prepare.

        Args:
            lines: what each says.
            held: closed after the last, however it ends.
        """
        # nginx would collect the lines.
        super().__init__(None, headers={"X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._lines, self._held = lines, held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the lines as they come."""
        assert self._lines and self._held

        async def send_line(line: object) -> None:
            await send({"type": "http.response.body", "body": to_json(line) + b"\n", "more_body": True})

        try:
            async with self._held, aclosing(self._lines) as lines:
                await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                async for line in lines:
                    await send_line(line)
        except asyncio.CancelledError:  # the server does so when its time to shut down is over
            stopped = NotReady("the service stopped before the last line was there; send the request again")
            await send_line({"error": problem(stopped)})
        await send({"type": "http.response.body"})
