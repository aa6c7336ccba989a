"""The outermost layer: each request gets an id, each answer its headers, and the log a line.

The line tells who asked for what and what became of it. It has no query string, no file name and
nothing of a picture: those are the client's, and may name persons and places.
"""

import re
import secrets

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.server import problems
from service.server.logs import notes
from service.server.logs.addresses import Networks, client_address
from service.server.logs.notes import Note

# Of every answer that does not say otherwise.
HEADERS = {
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
    b"cross-origin-resource-policy": b"same-origin",
    b"referrer-policy": b"no-referrer",
    b"x-content-type-options": b"nosniff",
}
_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")


class Requests:
    """Notes what becomes of every request."""

    def __init__(self, app: ASGIApp, *, tell: bool, trusted: Networks) -> None:
        """Prepare.

        Args:
            app: what answers.
            tell: write a line for each request, where the process has configured `lines`.
            trusted: the proxies whose word counts for who asks.
        """
        self._app = app
        self._trusted = trusted
        self._log = structlog.get_logger() if tell and structlog.is_configured() else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        note = notes.begin(_id_of(scope))
        status = 0  # no answer

        async def send_whole(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": _complete(message["headers"], note.request_id)}
            await send(message)

        try:
            await self._app(scope, receive, send_whole)
        except Exception as error:
            response = problems.response(problems.explained(error))  # which logs it
            if status:
                raise  # so that the server cuts what has begun
            await response(scope, receive, send_whole)
        finally:
            if self._log:
                note.ended("answer" if note.stages_ms else "total")
                self._log.info("request", **self._line(scope, note, status))

    def _line(self, scope: Scope, note: Note, status: int) -> dict[str, object]:
        line: dict[str, object] = {
            "request_id": note.request_id,
            "client": client_address(scope, self._trusted),
            "method": scope["method"],
            "route": note.route,
            "status": status,
            "outcome": _outcome(status),
        }
        if note.key:
            line["key"] = note.key
        if note.chips:
            line["chips"], line["failed"] = note.chips, note.failed
        return line | note.stages_ms


def _outcome(status: int) -> str:
    if status < 100:
        return "lost"
    return "answered" if status < 400 else "refused" if status < 500 else "failed"


def _id_of(scope: Scope) -> str:
    """Return the id that the request brought, if it is well formed, or a new one."""
    brought = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
    return brought.decode() if _ID.fullmatch(brought) else new_id()


def new_id() -> str:
    """Return an id that no other request has."""
    return secrets.token_hex(8)


def _complete(headers: list[tuple[bytes, bytes]], request_id: str) -> list[tuple[bytes, bytes]]:
    there = {name for name, _ in headers}
    added = [pair for pair in HEADERS.items() if pair[0] not in there]
    if b"cache-control" not in there and b"etag" not in there:  # no file, so somebody's answer
        added.append((b"cache-control", b"no-store"))
    return [*headers, *added, (b"x-request-id", request_id.encode())]
