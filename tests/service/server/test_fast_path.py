"""The fast path answers as the framework does."""

import asyncio
from typing import Any

import httpx2
import pytest

from service.server.app import create_app
from service.settings import Settings
from tests.kit.fakes import RED, encoded, picture

PNG = encoded(picture(RED), "PNG")
FORM = {"files": [("chip", ("red.png", PNG)), ("chip", ("text.png", b"text"))]}
REQUESTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "a chip": ("POST", "/predict", {"content": PNG, "headers": {"content-type": "image/png"}}),
    "a form": ("POST", "/predict", FORM),
    "options": ("POST", "/predict?members=true&evidence=true", FORM),
    "a wrong option": ("POST", "/predict?members=perhaps", FORM),
    "nothing": ("POST", "/predict", {}),
    "no image": ("POST", "/predict", {"content": b"text", "headers": {"content-type": "image/png"}}),
    "another method": ("PUT", "/predict", FORM),
    "another path": ("POST", "/predictions", FORM),
}


class Passage:
    """A middleware that does nothing."""

    def __init__(self, app: Any) -> None:  # noqa: ANN401
        self._app = app

    async def __call__(self, *request: Any) -> None:  # noqa: ANN401
        await self._app(*request)


def answers(settings: Settings) -> dict[str, tuple[Any, ...]]:
    """Every request's answer and, under `counted`, what became of each in the metrics."""

    async def asked() -> dict[str, tuple[Any, ...]]:
        app = create_app(settings)
        transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
        found: dict[str, tuple[Any, ...]] = {}
        async with (
            app.router.lifespan_context(app),
            httpx2.AsyncClient(
                transport=transport, base_url="http://chipvote", headers={"x-request-id": "same"}
            ) as client,
        ):
            for name, (method, path, options) in REQUESTS.items():
                answer = await client.request(method, path, **options)
                found[name] = (answer.status_code, answer.headers["content-type"], answer.json())
            lines = (await client.get("/metrics")).text.splitlines()
        found["counted"] = tuple(line for line in lines if line.startswith("chipvote_requests_total"))
        return found

    return asyncio.run(asked())


def test_the_fast_path_answers_and_counts_as_the_framework(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = answers(settings)
    monkeypatch.setattr("service.server.app.FastPath", Passage)
    whole = answers(settings)
    assert short == whole
    assert [short[name][0] for name in REQUESTS] == [200, 200, 200, 422, 415, 415, 405, 404]
