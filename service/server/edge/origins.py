"""Who may make a browser send work here: this service's own pages, and those of set origins.

A page of any other origin can make its reader's browser post a form to any address that the browser
reaches. What a GET answers stays readable as ever: a browser shows it to no page of another origin
unless told to (CORS), which it is for set origins alone.

But a page can make its own name lead here (DNS rebinding), and is then of this origin, while not
every browser says that it is one. So a service that only this machine reaches, and that asks for no
key, answers only to names that nobody can buy.
"""

import re
from collections.abc import Collection
from contextlib import suppress
from ipaddress import ip_address

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.server import problems
from service.server.edge.errors import ForeignPage
from service.settings import PREFIX

_READING = ("GET", "HEAD", "OPTIONS")
_PREFLIGHT_S = 600
_Headers = dict[bytes, bytes]


class Origins:
    """Refuses what foreign pages send, and answers the questions of those that are set."""

    def __init__(self, app: ASGIApp, allowed: Collection[str], *, alone: bool) -> None:
        """Prepare.

        Args:
            app: what is guarded.
            allowed: origins, as browsers write them.
            alone: only this machine reaches the service, and no key is asked for.
        """
        self._app, self._alone = app, alone
        self._allowed = frozenset(origin.encode() for origin in allowed)
        self._hosts = frozenset(origin.partition("://")[2] for origin in allowed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers: _Headers = dict(scope["headers"])
        if headers.get(b"origin", b"").lower() in self._allowed:
            await self._share(scope, headers, receive, send)
        elif error := self._refusal(scope["method"], headers):
            await problems.response(error)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _refusal(self, method: str, headers: _Headers) -> ForeignPage | None:
        if self._alone and not self._is_named(headers):
            return ForeignPage(
                "this service is for this machine alone; call it localhost, or have "
                f"{PREFIX}ORIGINS name the origin that it is called by"
            )
        if method in _READING or _is_own(headers):
            return None
        origin = headers.get(b"origin", b"of another origin").decode("latin-1")
        return ForeignPage(
            f"a page {origin} may not use this service; the address of the page and of the service must "
            f"be one, or {PREFIX}ORIGINS name the page's"
        )

    def _is_named(self, headers: _Headers) -> bool:
        """Tell whether this is called by a name of this machine, or by the host of a set origin."""
        host = headers.get(b"host", b"").decode("latin-1").lower()
        name = re.sub(r":\d*$", "", host)
        if host in self._hosts or "." not in name or name.endswith(".localhost"):
            return True
        with suppress(ValueError):
            return bool(ip_address(name.strip("[]")))
        return False

    async def _share(self, scope: Scope, headers: _Headers, receive: Receive, send: Send) -> None:
        """Serve one request of an origin that is set, and let its page read the answer."""
        allowance = [
            (b"access-control-allow-origin", headers[b"origin"]),
            (b"vary", b"origin"),
        ]

        async def send_allowed(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *allowance]}
            await send(message)

        if scope["method"] != "OPTIONS" or b"access-control-request-method" not in headers:
            await self._app(scope, receive, send_allowed)
            return
        asked = headers.get(b"access-control-request-headers", b"content-type")
        allowance += [
            (b"access-control-allow-methods", b"GET, HEAD, POST"),
            (b"access-control-allow-headers", asked),
            (b"access-control-max-age", b"%d" % _PREFLIGHT_S),
        ]
        await send_allowed({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})


def _is_own(headers: _Headers) -> bool:
    """Tell whether no browser sent this, or one for this service's own page.

    `Sec-Fetch-Site` is the browser's own word, whatever names a proxy changed on the way. Browsers
    before 2023 send the page's origin alone, and no page can leave that away or change it.
    """
    site = headers.get(b"sec-fetch-site")
    if site is not None:
        return site in (b"same-origin", b"none")
    origin = headers.get(b"origin")
    return origin is None or origin.lower().partition(b"://")[2] == headers.get(b"host", b"").lower()
