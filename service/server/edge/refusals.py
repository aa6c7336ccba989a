"""A problem as the bytes of an answer, for what is refused before there is a request to answer."""

import http
from collections.abc import Iterable

from pydantic_core import to_json

from service.answers.predictions import problem
from service.contract.errors import ServiceError
from service.server.edge.errors import MalformedRequest
from service.server.logs.requests import HEADERS, new_id
from service.server.problems import MEDIA_TYPE, headers


def refusal(error: ServiceError, usual: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return a whole answer that ends its connection.

    Args:
        error: becomes problem+json.
        usual: headers of every answer, such as the date.
    """
    request_id = new_id()
    body = to_json(problem(error) | {"request_id": request_id})
    fields = [
        *((name.decode(), value.decode()) for name, value in usual),
        ("content-type", MEDIA_TYPE),
        ("content-length", str(len(body))),
        *(headers(error) or {}).items(),
        *((name.decode(), value.decode()) for name, value in HEADERS.items()),
        ("x-request-id", request_id),
        ("connection", "close"),
    ]
    lines = [f"HTTP/1.1 {error.status} {http.HTTPStatus(error.status).phrase}"]
    lines += [f"{name.lower()}: {value}" for name, value in fields]
    return "\r\n".join([*lines, "", ""]).encode() + body


def malformed() -> MalformedRequest:
    """Return how what the parser cannot read is refused."""
    return MalformedRequest(
        "what came is no request of HTTP/1.1: a malformed first line, header or chunk, a bare line feed, or "
        "a length given twice; see RFC 9112"
    )
