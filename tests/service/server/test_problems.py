import asyncio
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from service.answers.predictions import problem
from service.contract.errors import ChipError, EmptyChip, NoChip, NotAnImage, ServiceError, WrongSize
from service.metrics import Metrics
from service.server.logs.requests import Requests
from service.server.problems import MEDIA_TYPE, documented, explained, install


def assert_problem(response: httpx2.Response, status: int) -> Any:  # noqa: ANN401
    """Every error of the service has this shape."""
    assert response.status_code == status
    assert response.headers["content-type"] == MEDIA_TYPE
    body = response.json()
    assert body.keys() == {"type", "title", "status", "detail", "request_id"}
    assert body["request_id"] == response.headers["x-request-id"]
    assert body["type"] == "about:blank"
    assert body["status"] == status
    assert body["title"] and body["detail"]
    return body


def test_a_problem_says_what_was_wrong() -> None:
    assert problem(NotAnImage("no known image")) == {
        "type": "about:blank",
        "title": "Not an accepted image format",
        "status": 415,
        "detail": "no known image",
    }


def test_an_internal_error_keeps_its_detail_to_itself() -> None:
    assert "secret" not in problem(ServiceError("secret"))["detail"]


def test_documented_joins_errors_of_one_status() -> None:
    responses = documented(EmptyChip, NoChip, ChipError)
    assert list(responses) == [400, 422]
    assert responses[400]["description"] == "Empty chip; No chip"
    assert MEDIA_TYPE in responses[422]["content"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nothing", 404), ("GET", "/predict", 405), ("POST", "/labels", 405), ("DELETE", "/", 405)],
)
def test_the_frameworks_errors_are_problems_too(
    client: httpx2.Client, method: str, path: str, status: int
) -> None:
    response = client.request(method, path)
    assert path in assert_problem(response, status)["detail"]
    assert ("allow" in response.headers) == (status == 405)


def test_an_invalid_parameter_is_a_problem_that_names_it() -> None:
    app = FastAPI()
    app.add_middleware(Requests, metrics=Metrics(), tell=False, trusted=())
    install(app)

    @app.get("/double")
    def double(number: int) -> int:
        return 2 * number

    async def ask() -> httpx2.Response:
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://chipvote") as client:
            return await client.get("/double?number=two")

    assert "query.number" in assert_problem(asyncio.run(ask()), 422)["detail"]


def test_an_error_that_is_answered_holds_no_body() -> None:
    """Its frames would, and they hold the error again: hundreds of MB stayed after large bodies."""
    try:
        raise WrongSize("too small")
    except WrongSize as error:
        assert explained(error).__traceback__ is None
