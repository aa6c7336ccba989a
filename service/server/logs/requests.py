"""The outermost layer: what becomes of each request is answered, counted and told, in one place.

Each request gets an id, each answer its headers, and what no other layer answered a problem; the
metrics count it and the log gets a line. The line tells who asked for what and what became of it.
It has no query string, no file name and nothing of a picture: those are the client's, and may name
persons and places.
"""

import asyncio
import random
import re
import secrets
import time
from functools import cache

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.contract.errors import NotReady
from service.metrics import Metrics
from service.server import problems
from service.server.endings.connections import is_lost
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
LOST = 499  # no answer, because nobody was there any more; nginx's number
_PRIVATE = (b"cache-control", b"no-store")
_USUAL = (*HEADERS.items(), _PRIVATE)
_SAID = {b"etag", *dict(_USUAL)}
_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
# Ids are no secret. Asking the system for each would let another thread have Python's lock.
_IDS = random.Random(secrets.randbits(128))


class Requests:
    """Notes what becomes of every request."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics, tell: bool, trusted: Networks) -> None:
        """Prepare.

        Args:
            app: what answers.
            metrics: count every request by route and status, and time it.
            tell: write a line for each request, where the process has configured `lines`.
            trusted: the proxies whose word counts for who asks.
        """
        self._app = app
        self._metrics = metrics
        self._requests, self._latency = cache(metrics.requests.labels), cache(metrics.latency.labels)
        self._trusted = trusted
        self._log = structlog.get_logger() if tell and structlog.is_configured() else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        note = notes.begin(_id_of(scope), client_address(scope, self._trusted))
        heard = False  # somebody was there until the end of the answer

        async def send_whole(message: Message) -> None:
            nonlocal heard
            if message["type"] == "http.response.start":
                note.status = message["status"]
                message = {**message, "headers": _complete(message["headers"], note.request_id)}
                await send(message)
                return
            await send(message)
            # Of a refusal the first piece is all; the end may wait for the rest of the body.
            if note.status >= 400 or not message.get("more_body", False):
                heard = heard or not is_lost(scope)

        try:
            await self._app(scope, receive, send_whole)
        except asyncio.CancelledError:  # the server's time to shut down is over
            if note.status:
                raise
            stopped = NotReady("the service stopped before the answer was there; send the request again")
            await problems.response(stopped)(scope, receive, send_whole)
        except Exception as error:
            response = problems.response(problems.explained(error))  # which logs it
            if note.status:
                raise  # so that the server cuts what has begun
            await response(scope, receive, send_whole)
        finally:
            # A path that no route has must not become a label: anybody can make up paths.
            note.route = scope["route"].path if "route" in scope else "unknown"
            note.status = LOST if not heard and is_lost(scope) else note.status or 500
            self._count(note)
            if self._log:
                note.ended("answer" if note.stages_ms else "total")
                self._log.info("request", **self._line(scope, note))

    def _count(self, note: Note) -> None:
        self._requests(note.route, note.status).inc()
        self._latency(note.route).observe(time.perf_counter() - note.began_s)
        if note.key:  # a name from the file, so there are not many
            self._metrics.key_requests.labels(note.key, note.status).inc()
            self._metrics.key_chips.labels(note.key).inc(note.chips)

    def _line(self, scope: Scope, note: Note) -> dict[str, object]:
        line: dict[str, object] = {
            "request_id": note.request_id,
            "client": note.client,
            "method": scope["method"],
            "route": note.route,
            "status": note.status,
            "outcome": _outcome(note.status),
        }
        if note.key:
            line["key"] = note.key
        if note.chips:
            line["chips"], line["failed"] = note.chips, note.failed
        return line | note.stages_ms


def _outcome(status: int) -> str:
    if status == LOST:
        return "lost"
    return "answered" if status < 400 else "refused" if status < 500 else "failed"


def _id_of(scope: Scope) -> str:
    """Return the id that the request brought, if it is well formed, or a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            return value.decode() if _ID.fullmatch(value) else new_id()
    return new_id()


def new_id() -> str:
    """Return an id that no other request has."""
    return f"{_IDS.getrandbits(64):016x}"


def _complete(headers: list[tuple[bytes, bytes]], request_id: str) -> list[tuple[bytes, bytes]]:
    own = (b"x-request-id", request_id.encode())
    there = {name for name, _ in headers}
    if _SAID.isdisjoint(there):  # as nearly always
        return [*headers, *_USUAL, own]
    added = [pair for pair in _USUAL if pair[0] not in there]
    if b"etag" in there and _PRIVATE in added:  # a file, so nobody's own answer
        added.remove(_PRIVATE)
    return [*headers, *added, own]
