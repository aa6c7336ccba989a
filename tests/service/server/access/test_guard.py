"""No key, no answer: every route, method and spelling of a path, with every kind of key."""

import asyncio
import itertools
import logging
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx2
import pytest

from service.server.access.keys import mint
from service.server.app import create_app
from service.settings import Settings
from tests.kit.fakes import BLACK, LABELS, RED, FakeEnsemble, encoded, picture
from tests.kit.serving import serving
from tests.service.server.test_problems import assert_problem

PNG = encoded(picture(RED), "PNG")
OPEN = ("/", "/docs", "/openapi.json", "/health/live", "/health/ready")
FILES = ("/web/app.js", "/docs-files/swagger-ui.css")
NEEDED = {
    "/predict": "predict",
    "/preview": "predict",
    "/predict/scene": "predict",
    "/layer": "predict",
    "/labels": "predict",
    "/model": "predict",
    "/metrics": "metrics",
    "/swap": "admin",
    "/shadow": "metrics",
}
CHANGES = {("/shadow", "POST"): "admin", ("/shadow", "DELETE"): "admin"}  # else as the path
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS")
TODAY = datetime.now(UTC).date()
KEYS: dict[str, dict[str, Any]] = {
    "predict": {"scopes": ["predict"]},
    "metrics": {"scopes": ["metrics"]},
    "admin": {"scopes": ["admin"]},
    "all": {"scopes": ["predict", "metrics", "admin"], "expires": TODAY},
    "expired": {"scopes": ["predict", "metrics", "admin"], "expires": TODAY - timedelta(days=1)},
    "slow": {"scopes": ["predict"], "rate": 3},
    "single": {"scopes": ["predict"], "concurrent": 1},
}


@pytest.fixture(scope="module")
def minted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A file of keys, and their tokens by name."""
    made = {name: mint(name, **allowed) for name, allowed in KEYS.items()}
    path = tmp_path_factory.mktemp("keys") / "keys.toml"
    path.write_text("\n".join(line for _, line in made.values()), encoding="utf-8")
    return path, {name: token for name, (token, _) in made.items()}


@pytest.fixture(scope="module")
def tokens(minted: tuple[Path, dict[str, str]]) -> dict[str, str]:
    return minted[1]


@pytest.fixture(scope="module")
def guarded(settings: Settings, minted: tuple[Path, dict[str, str]]) -> Iterator[httpx2.Client]:
    """A client of a service that asks for keys."""
    with serving(settings.model_copy(update={"keys": minted[0]})) as client:
        yield client


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def spellings(path: str) -> Iterator[str]:
    """Other ways to write a path, of which some reach its route and none may for less."""
    yield from (path, f"{path}/", f"{path}//", f"/{path}", f"/.{path}", f"/x/..{path}", f"{path}/.")
    yield from (path.upper(), f"/%2f{path[1:]}", f"{path}%2f", f"{path}%0a", f"{path}%00", f"{path}%20")
    yield from (f"{path}?x=1", f"{path};x", f"{path}%3fx", f"{path}#x", f"/%{ord(path[1]):02x}{path[2:]}")
    yield f"http://elsewhere.example{path}"
    yield f"/web/..{path}"
    yield f"/web/%2e%2e{path}"
    yield f"/docs-files/..{path}"
    yield f"/health/live/..{path}"
    yield f"/health/live%0a{path}"


def test_nothing_but_what_is_open_answers_without_the_right_key(
    guarded: httpx2.Client, tokens: dict[str, str]
) -> None:
    described = guarded.get("/openapi.json").json()["paths"]
    assert set(described) == {*NEEDED, "/health/live", "/health/ready"}, "say here what a new route needs"
    wrong = {**tokens, "none": "", "wrong": tokens["all"][:-1] + ("A" if tokens["all"][-1] != "A" else "B")}
    answered: set[tuple[str, str, str]] = set()
    with closing(
        HTTPConnection(guarded.base_url.host, guarded.base_url.port or 80, timeout=120)
    ) as connection:
        for path, method, name in itertools.product(
            [*NEEDED, "/redoc", "/docs/oauth2-redirect", "/nothing"],
            METHODS,
            ["none", "wrong", "expired", *KEYS],
        ):
            if name in ("slow", "single"):
                continue
            for spelt in spellings(path):
                connection.putrequest(method, spelt, skip_accept_encoding=True)
                if name != "none":
                    connection.putheader("Authorization", f"Bearer {wrong[name]}")
                body = PNG if method == "POST" else b""
                connection.putheader("Content-Length", str(len(body)))
                connection.putheader("Content-Type", "image/png")
                connection.endheaders(body)
                response = connection.getresponse()
                response.read()
                case = f"{method} {spelt} with {name}: {response.status}"
                if name in ("none", "wrong", "expired"):
                    assert 300 < response.status < 500, case
                elif response.status < 300:
                    # What is no path of ours to the letter asks for `admin`, whatever it reaches.
                    other = "admin" if spelt.endswith("%0a") else ""
                    scope = CHANGES.get((path, method), NEEDED.get(path))
                    assert name in (scope, "all", other), case
                    if name != other:
                        answered.add((path, method, name))
    paths = ("/labels", "/model", "/metrics", "/swap", "/shadow")
    gets = {(path, method) for path in paths for method in ("GET", "HEAD")}
    posts = {(path, "POST") for path in ("/predict", "/preview")}
    assert answered == {(p, m, n) for p, m in gets | posts for n in (NEEDED[p], "all")}


def test_what_holds_no_secret_is_open(guarded: httpx2.Client) -> None:
    for path in (*OPEN, *FILES):
        for method in ("GET", "HEAD"):
            assert guarded.request(method, path).status_code == 200, path
        assert guarded.post(path).status_code == 405
    assert guarded.get("/health/live/").status_code == 307


def test_a_refusal_says_what_to_send(guarded: httpx2.Client, tokens: dict[str, str]) -> None:
    nothing = guarded.get("/labels")
    assert "X-API-Key" in assert_problem(nothing, 401)["detail"]
    assert nothing.headers["www-authenticate"] == "Bearer"
    wrong = guarded.get("/labels", headers=bearer("wrong"))
    assert_problem(wrong, 401)
    assert wrong.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    expired = guarded.get("/labels", headers=bearer(tokens["expired"]))
    assert "expired after" in assert_problem(expired, 401)["detail"]
    other = guarded.get("/labels", headers=bearer(tokens["metrics"]))
    assert "scope predict" in assert_problem(other, 403)["detail"]
    assert other.headers["www-authenticate"] == 'Bearer error="insufficient_scope", scope="predict"'


def test_a_key_comes_in_either_header(guarded: httpx2.Client, tokens: dict[str, str]) -> None:
    token = tokens["predict"]
    for headers, status in (
        ({"X-API-Key": token}, 200),
        ({"Authorization": f"bearer  {token}"}, 200),
        ({"X-API-Key": token, **bearer(token)}, 200),
        ({"X-API-Key": token, "Authorization": "Basic dXNlcjpwYXNz"}, 200),  # a proxy's own login
        ({"X-API-Key": token, **bearer(tokens["all"])}, 401),
        ({"X-API-Key": f"Bearer {token}"}, 401),
        ({"Authorization": f"Basic {token}"}, 401),
        ({"Authorization": token}, 401),
        ([(b"x-api-key", "\u00fc".encode())], 401),
        ([(b"x-api-key", token.encode()), (b"x-api-key", b"other")], 401),
        ({"X-API-Key": ""}, 401),
    ):
        assert guarded.get("/labels", headers=headers).status_code == status, headers


def test_a_refused_body_is_answered_whole(guarded: httpx2.Client) -> None:
    assert_problem(guarded.post("/predict", content=bytes(3 << 20)), 401)


def test_a_rate_is_told_kept_and_each_key_s_own(guarded: httpx2.Client, tokens: dict[str, str]) -> None:
    slow = bearer(tokens["slow"])
    for left in (2, 1, 0):
        answer = guarded.get("/labels", headers=slow)
        assert answer.status_code == 200
        assert answer.headers["ratelimit-policy"] == '"rate";q=3;w=60'
        assert answer.headers["ratelimit"].startswith(f'"rate";r={left};t=')
    refused = guarded.get("/labels", headers=slow)
    assert "3 requests" in assert_problem(refused, 429)["detail"]
    wait_s = int(refused.headers["retry-after"])
    assert 0 < wait_s <= 60
    assert refused.headers["ratelimit"] == f'"rate";r=0;t={wait_s}'
    other = guarded.get("/labels", headers=bearer(tokens["predict"]))
    assert other.status_code == 200
    assert "ratelimit" not in other.headers
    told = guarded.get("/metrics", headers=bearer(tokens["metrics"])).text
    assert 'chipvote_key_requests_total{key="slow",status="200"} 3.0' in told
    assert 'chipvote_key_requests_total{key="slow",status="429"} 1.0' in told


def test_a_key_has_so_many_requests_open_and_no_more(
    settings: Settings, minted: tuple[Path, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, tokens = minted
    fake = FakeEnsemble(len(LABELS))
    monkeypatch.setattr("service.engine.served.open_ensemble", lambda *_: fake)

    async def scenario() -> None:
        app = create_app(settings.model_copy(update={"keys": path}))
        transport = httpx2.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx2.AsyncClient(transport=transport, base_url="http://chipvote") as client,
            asyncio.timeout(120),
        ):
            options: dict[str, Any] = {
                "content": PNG,
                "headers": {**bearer(tokens["single"]), "content-type": "image/png"},
            }
            fake.gate.clear()
            first = asyncio.create_task(client.post("/predict", **options))
            while not fake.entered.is_set():
                await asyncio.sleep(0.001)
            second = await client.post("/predict", **options)
            assert_problem(second, 429)
            assert second.headers["retry-after"] == "1"
            assert second.headers["ratelimit"] == '"concurrent";r=0'
            fake.gate.set()
            answer = await first
            assert answer.status_code == 200
            assert answer.headers["ratelimit-policy"] == '"concurrent";q=1;qu="concurrent-requests"'
            assert (await client.post("/predict", **options)).status_code == 200
            with pytest.MonkeyPatch.context() as lost:
                lost.setattr("service.server.routes.chips.answer", lambda *_: 1 / 0)
                assert (await client.post("/predict", **options)).status_code == 500
            assert (await client.post("/predict", **options)).status_code == 200, "given back"

    with_errors = logging.getLogger("chipvote")
    with_errors.disabled = True
    try:
        asyncio.run(scenario())
    finally:
        with_errors.disabled = False


def test_the_description_tells_which_key_each_route_needs(
    guarded: httpx2.Client, client: httpx2.Client
) -> None:
    document = guarded.get("/openapi.json").json()
    assert document["components"]["securitySchemes"].keys() == {"bearer", "header"}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if path in NEEDED:
                scope = CHANGES.get((path, method.upper()), NEEDED[path])
                assert operation["security"] == [{"bearer": [scope]}, {"header": [scope]}]
                assert {"401", "403", "429"} <= operation["responses"].keys()
            else:
                assert operation["security"] == []
    without = client.get("/openapi.json").text
    assert "securitySchemes" not in without and '"security"' not in without


def test_without_a_file_of_keys_none_is_asked_for(client: httpx2.Client) -> None:
    for path in ("/labels", "/model", "/metrics", *OPEN, *FILES):
        assert client.get(path).status_code == 200
        assert client.get(path, headers=bearer("any")).status_code == 200


def test_a_key_with_many_connections_keeps_no_other_waiting(
    settings: Settings, fake: FakeEnsemble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.at_once = 1
    made = {name: mint(name, scopes=["predict", "metrics"]) for name in ("many", "one")}
    path = tmp_path / "keys.toml"
    path.write_text("\n".join(line for _, line in made.values()), encoding="utf-8")
    chips = {"many": PNG, "one": encoded(picture(BLACK), "PNG")}
    taken, vote = list[str](), fake.vote

    def noted(chips_BHWC: Any, *options: Any) -> Any:  # noqa: ANN401
        taken.extend("many" if chip_HWC.any() else "one" for chip_HWC in chips_BHWC)
        return vote(chips_BHWC, *options)

    monkeypatch.setattr(fake, "vote", noted)

    async def ask(client: httpx2.AsyncClient, name: str) -> None:
        headers = {"content-type": "image/png", **bearer(made[name][0])}
        assert (await client.post("/predict", content=chips[name], headers=headers)).status_code == 200

    async def wait_for(client: httpx2.AsyncClient, line: str) -> None:
        while line not in (await client.get("/metrics", headers=bearer(made["one"][0]))).text:
            await asyncio.sleep(0.01)

    async def scenario(url: httpx2.URL) -> None:
        async with asyncio.timeout(120), httpx2.AsyncClient(base_url=url, timeout=60) as client:
            fake.gate.clear()
            many = [asyncio.create_task(ask(client, "many")) for _ in range(20)]
            await wait_for(client, "chipvote_queue_chips 19.0")  # one is inside
            one = asyncio.create_task(ask(client, "one"))
            await wait_for(client, "chipvote_queue_chips 20.0")
            fake.gate.set()
            await asyncio.gather(one, *many)

    with serving(settings.model_copy(update={"keys": path})) as client:
        asyncio.run(scenario(client.base_url))
    assert taken == ["many"] * 2 + ["one"] + ["many"] * 18  # the first was inside before it came
