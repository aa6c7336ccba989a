"""Exceptions → RFC 9457 problem+json, the only shape in which this service reports an error.

`type` is always "about:blank": status and title say what kind of problem it is, `detail`
what was wrong this time. Knows the error tree and the framework's own errors.
"""

import http
import logging
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from service.answers.predictions import problem
from service.client.schemas import Problem
from service.contract.errors import EncodedBody, Overloaded, ServiceError
from service.server.logs import notes

logger = logging.getLogger("chipvote")

MEDIA_TYPE = "application/problem+json"


def explained(error: Exception) -> ServiceError:
    """Return what an error of any kind is to a client; unforeseen ones go to the log in full."""
    if isinstance(error, ServiceError):
        # Its frames hold the body and, by a future, the error: a circle that Python finds late.
        return error.with_traceback(None)
    if isinstance(error, MemoryError):
        return Overloaded("the service is short of memory; send the request again in a moment")
    logger.error("an unforeseen error", exc_info=error)
    return ServiceError()


def documented(*kinds: type[ServiceError]) -> dict[int | str, dict[str, Any]]:
    """Return OpenAPI responses for the errors that a route may answer with."""
    schema = {"$ref": "#/components/schemas/Problem"}  # which a failed chip's answer brings along
    responses: dict[int | str, dict[str, Any]] = {}
    for status in sorted({kind.status for kind in kinds}):
        titles = [kind.title for kind in kinds if kind.status == status]
        example = Problem(
            type="about:blank", title=titles[0], status=status, detail="what was wrong, and the fix"
        )
        content = {MEDIA_TYPE: {"schema": schema, "example": example}}
        responses[status] = {"description": "; ".join(titles), "content": content}
    return responses


def install(app: FastAPI) -> None:
    """Make every error of an app, the framework's included, a problem."""
    app.add_exception_handler(ServiceError, _on_service_error)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(ClientDisconnect, _on_service_error)
    app.add_exception_handler(MemoryError, _on_service_error)


def response(error: ServiceError | ClientDisconnect | MemoryError) -> Response:
    """Answer a request by the error that ended it."""
    if isinstance(error, ClientDisconnect):
        # Nobody reads this; it keeps a client's broken connection out of the log of our failures.
        detail = "the connection ended before the body did"
        return _respond(Problem(type="about:blank", title="Incomplete request", status=400, detail=detail))
    known = explained(error)
    return _respond(problem(known), headers(known))


def headers(error: ServiceError) -> dict[str, str] | None:
    """Return what a client may go by, beside the problem."""
    if error.status == 503:
        return {"Retry-After": str(error.retry_after_s)}
    if isinstance(error, EncodedBody):
        return {"Accept-Encoding": "identity"}
    return None


async def _on_service_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ServiceError | ClientDisconnect | MemoryError)
    return response(error)


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    title = http.HTTPStatus(error.status_code).phrase
    detail = f"{request.method} {request.url.path}: {title.lower()}; /docs lists what there is"
    headers = dict(error.headers or {})
    if error.status_code == 405:
        # The framework says nothing for its files, of several routes of a path only what the first
        # one takes, and never that HEAD goes wherever GET does.
        allowed = set(headers.get("Allow", "GET").split(", "))
        allowed |= set(map(str.upper, request.app.openapi()["paths"].get(request.url.path, ())))
        headers["Allow"] = ", ".join(sorted(allowed | ({"HEAD"} if "GET" in allowed else set())))
    return _respond(
        Problem(type="about:blank", title=title, status=error.status_code, detail=detail), headers
    )


async def _on_invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    where = ".".join(map(str, error.errors()[0]["loc"]))
    detail = f"{where} has a value that it cannot have; /docs lists what is accepted"
    return _respond(Problem(type="about:blank", title="Invalid request", status=422, detail=detail))


def _respond(content: Problem, headers: Any = None) -> Response:  # noqa: ANN401
    if request_id := notes.current().request_id:
        content["request_id"] = request_id
    return Response(to_json(content), content["status"], headers, media_type=MEDIA_TYPE)
