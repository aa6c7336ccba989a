"""Stands before every route: no key, no answer.

A path is looked up as the router will see it. What is not found there in so many letters, however
it is spelt, needs a key with the scope `admin`, so no other spelling of a path asks for less.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.contract.errors import ServiceError
from service.server import problems
from service.server.access import keys
from service.server.access.errors import MissingScope, NoKey, TooManyRequests
from service.server.access.keyring import Keyring
from service.server.access.keys import Key
from service.server.access.quotas import Headers, Quotas
from service.server.access.scopes import Needed
from service.server.logs import notes

_FIX = "send it as `Authorization: Bearer …` or as `X-API-Key: …`"


class Guard:
    """Lets through who has the right key, as often as the key may."""

    def __init__(self, app: ASGIApp, keyring: Keyring, needed: Needed, files: tuple[str, ...]) -> None:
        """Prepare.

        Args:
            app: what is guarded.
            keyring: the keys.
            needed: the scope that each route asks for.
            files: beginnings of paths below which there are files that anybody may read.
        """
        self._app = app
        self._keyring = keyring
        self._needed = needed
        self._files = files
        self._quotas = Quotas()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        needed = self._scope_of(scope) if scope["type"] == "http" else None
        if needed is None:
            await self._app(scope, receive, send)
            return
        told: Headers = []

        async def send_told(message: Message) -> None:
            if told and message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *told]}
            await send(message)

        try:
            key = await self._key_of(scope)
            notes.current().key = key.name
            with self._quotas.hold(key) as told:
                if needed not in key.scopes:
                    may = ", ".join(sorted(key.scopes))
                    raise MissingScope(f"this needs a key with the scope {needed}; {key.name} has {may}")
                await self._app(scope, receive, send_told)
        except TooManyRequests as error:
            told = self._quotas.headers(key, error.retry_after_s)
            await _refuse(error, {"Retry-After": str(error.retry_after_s)})(scope, receive, send_told)
        except MissingScope as error:
            asks = f'Bearer error="insufficient_scope", scope="{needed}"'
            await _refuse(error, {"WWW-Authenticate": asks})(scope, receive, send_told)
        except NoKey as error:
            asks = 'Bearer error="invalid_token"' if _tokens(scope) else "Bearer"
            await _refuse(error, {"WWW-Authenticate": asks})(scope, receive, send)

    def _scope_of(self, scope: Scope) -> keys.Scope | None:
        path = scope["path"]
        if path.startswith(self._files):
            return None
        # The router leads from a path with a slash at its end to the one without.
        return self._needed.of(scope["method"], path.rstrip("/") or "/")

    async def _key_of(self, scope: Scope) -> Key:
        tokens = _tokens(scope)
        if not tokens:
            raise NoKey(f"this needs a key; {_FIX}")
        if len(tokens) > 1:
            raise NoKey("several keys came; send one")
        key = await self._keyring.find(tokens.pop())
        if key is None:
            raise NoKey("the key is not known here; was it revoked, or cut short?")
        if key.expires and datetime.now(UTC).date() > key.expires:
            raise NoKey(f"the key {key.name} expired after {key.expires}; ask for a new one")
        return key


def _tokens(scope: Scope) -> set[str]:
    """Return the different tokens that came; a login of another scheme is a proxy's business."""
    found = set()
    for name, value in scope["headers"]:
        if name == b"x-api-key":
            found.add(value.decode("latin-1"))
        elif name == b"authorization" and (match := re.fullmatch(rb"(?i:bearer) +(\S*) *", value)):
            found.add(match[1].decode("latin-1"))
    return found


def _refuse(error: ServiceError, headers: Mapping[str, str]) -> Response:
    response = problems.response(error)
    response.headers.update(headers)
    return response
