"""What browsers tell of the page that sends a request, and what it gets."""

from collections.abc import Iterator

import httpx2
import pytest

from service.settings import Settings
from tests.kit.fakes import RED, encoded, picture
from tests.kit.serving import serving
from tests.service.server.test_problems import assert_problem

RED_PNG = encoded(picture(RED), "PNG")
MAPS = "https://maps.example"


@pytest.fixture(scope="module")
def shared(settings: Settings) -> Iterator[httpx2.Client]:
    """A service that the pages of one other origin may use."""
    with serving(settings.model_copy(update={"origins": frozenset({MAPS})})) as client:
        yield client


def post(client: httpx2.Client, path: str = "/predict", **headers: str) -> httpx2.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post(path, content=RED_PNG, headers={"content-type": "image/png", **named})


@pytest.mark.parametrize("path", ["/predict", "/preview", "/predict/", "/labels", "/nowhere"])
@pytest.mark.parametrize(
    "headers",
    [
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"sec_fetch_site": "cross-site", "origin": MAPS},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "https://evil.example", "x_forwarded_host": "evil.example"},
    ],
)
def test_another_origins_page_makes_nothing_work(
    client: httpx2.Client, path: str, headers: dict[str, str]
) -> None:
    assert "CHIPVOTE_ORIGINS" in assert_problem(post(client, path, **headers), 403)["detail"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"sec_fetch_site": "same-origin"},
        {"sec_fetch_site": "none"},
        {"sec_fetch_site": "same-origin", "origin": "https://chips.example", "host": "behind:8000"},
    ],
)
def test_programs_and_its_own_page_are_served(client: httpx2.Client, headers: dict[str, str]) -> None:
    answer = post(client, **headers)
    assert answer.status_code == 200
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize("changes", [{"open": True}, {"host": "0.0.0.0"}])
def test_where_others_may_ask_any_name_is_its_own(settings: Settings, changes: dict[str, object]) -> None:
    with serving(settings.model_copy(update=changes)) as client:
        own = {"origin": "http://chips.example:8000", "host": "Chips.example:8000"}
        assert post(client, **own).status_code == 200
        assert client.get("/labels", headers={"sec-fetch-site": "none", "host": "chips.example"}).is_success


def test_a_name_that_was_made_to_lead_here_is_not_its_own(
    client: httpx2.Client, shared: httpx2.Client
) -> None:
    for headers in ({}, {"sec-fetch-site": "same-origin"}, {"origin": "http://evil.example:8000"}):
        for method, path in (("GET", "/labels"), ("GET", "/"), ("POST", "/predict"), ("GET", "/nowhere")):
            asked = client.request(method, path, headers={**headers, "host": "evil.example:8000"})
            assert "localhost" in assert_problem(asked, 403)["detail"]
    for host in ("localhost:8000", "chips.localhost", "127.0.0.1:9", "[::1]:8000", "LOCALHOST"):
        assert client.get("/labels", headers={"host": host}).is_success
    assert shared.get("/labels", headers={"host": "maps.example"}).is_success


def test_whoever_reads_may(client: httpx2.Client) -> None:
    for path in ("/", "/labels", "/docs"):
        answer = client.get(path, headers={"sec-fetch-site": "cross-site", "origin": "https://evil.example"})
        assert answer.status_code == 200
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_an_origin_that_is_set_may_use_it_and_read_every_answer(shared: httpx2.Client) -> None:
    for answer, status in (
        (post(shared, origin=MAPS, sec_fetch_site="cross-site"), 200),
        (post(shared, origin=MAPS.upper(), content_type="text/plain"), 415),
        (shared.get("/labels", headers={"origin": MAPS}), 200),
    ):
        assert answer.status_code == status
        assert answer.headers["access-control-allow-origin"].lower() == MAPS
        assert answer.headers["vary"] == "origin"
    assert_problem(post(shared, origin="https://maps.example.evil.example"), 403)


def test_only_an_origin_that_is_set_gets_a_preflight_answered(
    client: httpx2.Client, shared: httpx2.Client
) -> None:
    asked = {
        "origin": MAPS,
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type,authorization",
    }
    answer = shared.options("/predict", headers=asked)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == MAPS
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert answer.headers["access-control-allow-headers"] == "content-type,authorization"
    for refused in (client.options("/predict", headers=asked), shared.options("/predict")):
        assert_problem(refused, 405)
        assert "access-control-allow-origin" not in refused.headers
