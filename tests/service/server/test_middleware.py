"""HEAD, methods and redirects, of every route."""

import httpx2
import pytest

from tests.kit.fakes import RED, encoded, picture
from tests.service.server.test_problems import assert_problem

RED_PNG = encoded(picture(RED), "PNG")


def gettable(client: httpx2.Client) -> list[str]:
    paths = client.get("/openapi.json").json()["paths"]
    others = ["/", "/docs", "/openapi.json", "/web/app.js", "/docs-files/swagger-ui.css"]
    return [path for path, operations in paths.items() if "get" in operations] + others


def test_head_answers_as_get_without_the_body(client: httpx2.Client) -> None:
    paths = gettable(client)
    assert len(paths) >= 10
    for path in [*paths, "/nowhere", "/predict", "/web/nothing.js", "/labels/"]:
        got, head = client.get(path), client.head(path)
        assert head.status_code == got.status_code
        assert head.content == b""
        assert head.headers.keys() == got.headers.keys()
        if path != "/metrics":  # which tells of the request before
            for headers in (got.headers, head.headers):
                headers.pop("date")
                headers.pop("x-request-id")
            assert head.headers == got.headers


def test_a_head_is_no_reason_to_close_and_is_counted_with_its_route(client: httpx2.Client) -> None:
    counted = 'chipvote_requests_total{route="/labels",status="200"}'

    def count() -> float:
        lines = client.get("/metrics").text.splitlines()
        return next((float(line.split()[-1]) for line in lines if line.startswith(counted)), 0)

    before = count()
    for _ in range(3):
        assert client.head("/labels").status_code == 200
    assert count() == before + 3


@pytest.mark.parametrize("method", ["POST", "OPTIONS", "DELETE"])
def test_who_uses_another_method_is_told_which_there_are(client: httpx2.Client, method: str) -> None:
    for path in gettable(client):
        if path in ("/swap", "/shadow"):  # which may be changed too
            continue
        refused = client.request(method, path)
        assert_problem(refused, 405)
        assert refused.headers["allow"] == "GET, HEAD", path
    for path in ("/predict", "/preview"):
        assert client.request("OPTIONS", path).headers["allow"] == "POST"
    assert client.request("OPTIONS", "/shadow").headers["allow"] == "DELETE, GET, HEAD, POST"


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/predict/", "../predict"),
        ("/predict/?members=true&label=a/b", "../predict?members=true&label=a/b"),
        ("/health/live/", "../live"),
        ("/labels///", "../../../labels"),
        ("/web/a%20b.js/", "../a%20b.js"),
        ("/docs-files", "docs-files/"),
        ("/docs/?next=http://elsewhere.example/", "../docs?next=http://elsewhere.example/"),
    ],
)
def test_a_redirect_is_relative(client: httpx2.Client, path: str, location: str) -> None:
    redirect = client.get(path)
    assert (redirect.status_code, redirect.headers["location"]) == (307, location)
    if path.startswith("/predict"):
        followed = client.post(
            path, content=RED_PNG, headers={"content-type": "image/png"}, follow_redirects=True
        )
        assert followed.status_code in (200, 422)
        assert followed.url.path == "/predict"
