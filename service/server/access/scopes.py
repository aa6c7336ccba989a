"""Which key a route asks for: said at the route, in the words of OpenAPI, and read from there.

What says nothing asks for `admin`, be it a route or a path that no route has.
"""

from collections.abc import Iterable
from typing import Any

from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from service.server.access.errors import MissingScope, NoKey, TooManyRequests
from service.server.access.keys import Scope

SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "a key, where the service asks for one"},
    "header": {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": "the same, for who cannot send the other",
    },
}
REFUSED = (NoKey, MissingScope, TooManyRequests)  # how a route that needs a key may answer
OPEN: list[dict[str, list[str]]] = []  # the `security` of what anybody may ask for


def needs(scope: Scope) -> dict[str, Any]:
    """Return what a route says that asks for a key: a part of its `openapi_extra`."""
    return {"security": [{scheme: [scope]} for scheme in SCHEMES]}


def anybody() -> dict[str, Any]:
    """Return what a route says that holds no secret."""
    return {"security": OPEN}


class Needed:
    """The scope that each path and method asks for; a path with a parameter asks for `admin`."""

    def __init__(self, routes: Iterable[BaseRoute], open_paths: Iterable[str]) -> None:
        """Read what routes say of themselves; open paths are for anybody."""
        self._scopes: dict[str, dict[str, Scope | None]] = {path: {"GET": None} for path in open_paths}
        for route in routes:
            if isinstance(route, APIRoute) and "{" not in route.path:
                security = (route.openapi_extra or {}).get("security")
                if security is not None:
                    scope = security[0]["bearer"][0] if security else None
                    self._scopes.setdefault(route.path, {}).update(dict.fromkeys(route.methods or (), scope))

    def of(self, method: str, path: str) -> Scope | None:
        """Return the scope; None where anybody may."""
        scopes = self._scopes.get(path, {})
        if method in scopes:
            return scopes[method]
        # Nobody is there: whoever may use the path in any way may hear so.
        others = set(scopes.values())
        return others.pop() if len(others) == 1 else "admin"
