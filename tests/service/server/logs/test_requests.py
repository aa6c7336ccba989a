"""Ids and headers of answers, and the lines of a real process."""

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from service.contract.bundle import Bundle
from service.server.access.keys import mint
from service.server.app import create_app
from service.settings import Settings
from tests.kit.fakes import LABELS, RED, FakeEnsemble, encoded, picture
from tests.service.server.test_problems import assert_problem

ROOT = Path(__file__).parents[4]
PNG = encoded(picture(RED), "PNG")
RAW = {"content-type": "image/png"}


class Process:
    """A service of its own, and the lines that it wrote."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stderr
        self.lines: list[str] = []
        for line in process.stderr:
            self.lines.append(line)
            if found := re.search(r"serving colours.* at (http://127\.0\.0\.1:\d+)", line):
                self.url = found[1]
                return
        raise AssertionError(f"it did not start: {self.lines}")

    def end(self) -> list[str]:
        """Stop it, and return all its lines."""
        self.process.terminate()
        _, rest = self.process.communicate(timeout=120)
        return self.lines + rest.splitlines()


@contextmanager
def process(bundle: Bundle, *options: str, **environment: str) -> Iterator[Process]:
    command = [sys.executable, "-m", "service", "--bundle", str(bundle.folder), "--port", "0", *options]
    with subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={"PATH": "", "CHIPVOTE_DEVICE": "cpu", **environment},
    ) as started:
        try:
            yield Process(started)
        finally:
            started.kill()


def test_each_request_is_a_line_that_tells_no_secret(colours: Bundle, tmp_path: Path) -> None:
    token, line = mint("alice", scopes=["predict"])
    (tmp_path / "keys.toml").write_text(line, encoding="utf-8")
    with process(colours, "--keys", str(tmp_path / "keys.toml")) as service:
        with httpx2.Client(
            base_url=service.url, headers={"Authorization": f"Bearer {token}"}, timeout=60
        ) as client:
            files = [("chip", ("secret name.png", PNG)), ("chip", ("b.png", b"none"))]
            headers = {"x-request-id": "of-mine.1", "x-forwarded-for": "6.6.6.6"}
            assert client.post("/predict?members=true", files=files, headers=headers).status_code == 200
            assert client.post("/preview", content=PNG, headers=RAW).status_code == 200
            assert client.get("/secret/path?query=secret").status_code == 403
            assert client.head("/labels", headers=[(b"x-request-id", b"a b")]).status_code == 200
            assert httpx2.get(f"{service.url}/labels?key=secret", timeout=60).status_code == 401
        told = [json.loads(line) for line in service.end()]
    assert all(list(line)[:3] == ["time", "level", "event"] for line in told)
    assert [line["event"].split()[0] for line in told[-6:]] == ["request"] * 5 + ["stopped"]
    labelled, shown, elsewhere, head, nobody = told[-6:-1]
    assert {key: value for key, value in labelled.items() if not key.endswith("_ms") and key != "time"} == {
        "level": "info",
        "event": "request",
        "request_id": "of-mine.1",
        "client": "127.0.0.1",
        "method": "POST",
        "route": "/predict",
        "status": 200,
        "outcome": "answered",
        "key": "alice",
        "chips": 2,
        "failed": 1,
    }
    assert labelled.keys() >= {"read_ms", "vote_ms", "answer_ms"}
    assert all(0 <= value < 60_000 for key, value in labelled.items() if key.endswith("_ms"))
    assert (shown["route"], shown["chips"]) == ("/preview", 1)
    assert (elsewhere["route"], elsewhere["outcome"], elsewhere["key"]) == ("unknown", "refused", "alice")
    assert (head["method"], head["route"]) == ("HEAD", "/labels")
    assert re.fullmatch("[0-9a-f]{16}", head["request_id"])
    assert (nobody["status"], "key" in nobody) == (401, False)
    whole = json.dumps(told)
    assert "secret" not in whole.replace(str(tmp_path), "") and token not in whole and "6.6.6.6" not in whole


def test_who_asks_is_taken_from_trusted_proxies_alone_and_forges_no_line(colours: Bundle) -> None:
    with process(colours, CHIPVOTE_TRUSTED_PROXIES="127.0.0.0/8, 10.0.0.1") as service:
        for named in (
            b"6.6.6.6, 7.7.7.7, 10.0.0.1",
            b"7.7.7.7",
            b'forged", 127.0.0.2',
            b'7.7.7.7"} {"event": "forged"',
            b"::ffff:7.7.7.7",
        ):
            assert (
                httpx2.get(
                    f"{service.url}/labels", headers=[(b"x-forwarded-for", named)], timeout=60
                ).status_code
                == 200
            )
        lines = service.end()
    told = [json.loads(line) for line in lines if '"event":"request"' in line]
    assert [line["client"] for line in told] == [
        "7.7.7.7", "7.7.7.7", "127.0.0.2", "127.0.0.1", "7.7.7.7",
    ]  # fmt: skip
    assert "forged" not in "".join(lines)


def test_the_console_s_form_is_one_line_for_each_too(colours: Bundle) -> None:
    with process(colours, CHIPVOTE_LOG_FORMAT="console", CHIPVOTE_ACCESS_LOG="true") as service:
        assert httpx2.get(f"{service.url}/labels", timeout=60).status_code == 200
        lines = service.end()
    (told,) = (line for line in lines if "request_id" in line)
    assert re.search(r"info +\] request .*client='127\.0\.0\.1'.*route='/labels'.*status=200", told)


def test_no_line_without_the_switch(colours: Bundle) -> None:
    with process(colours, CHIPVOTE_ACCESS_LOG="false") as service:
        assert httpx2.get(f"{service.url}/labels", timeout=60).status_code == 200
        assert "request_id" not in "".join(service.end())


@pytest.mark.parametrize("brought", ["a", "A-z_0.9", "x" * 64])
def test_a_well_formed_id_is_taken(client: httpx2.Client, brought: str) -> None:
    assert client.get("/labels", headers={"x-request-id": brought}).headers["x-request-id"] == brought
    refused = client.post("/predict", headers={"x-request-id": brought})
    assert assert_problem(refused, 415)["request_id"] == brought


@pytest.mark.parametrize("brought", ["", "x" * 65, "a b", 'a"b', "a\tb", "%0a", "ü"])
def test_any_other_id_is_replaced(client: httpx2.Client, brought: str) -> None:
    answers = [client.get("/labels", headers=[(b"x-request-id", brought.encode())]) for _ in range(2)]
    made = {answer.headers["x-request-id"] for answer in answers}
    assert len(made) == 2 and all(re.fullmatch("[0-9a-f]{16}", one) for one in made)


def test_every_answer_has_the_headers_that_keep_it_where_it_belongs(client: httpx2.Client) -> None:
    image = {"content": PNG, "headers": RAW}
    answers: list[tuple[str, str, dict[str, Any]]] = [
        ("GET", path, {})
        for path in ("/", "/docs", "/openapi.json", "/web/app.js", "/docs-files/swagger-ui.css", "/nothing",
                     "/labels/", "/labels", "/model", "/metrics", "/health/live", "/health/ready")
    ]  # fmt: skip
    for method, path, options in [
        *answers, ("POST", "/predict", image), ("POST", "/preview", image), ("PUT", "/predict", {}),
    ]:  # fmt: skip
        headers = client.request(method, path, **options).headers
        assert headers["x-content-type-options"] == "nosniff", path
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
        assert headers.get("cache-control") == "no-store" or "etag" in headers or path == "/docs"
        assert all(len(headers.get_list(name)) == 1 for name in headers)


def test_a_failure_of_ours_has_them_too(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.engine.served.open_ensemble", lambda *_: FakeEnsemble(len(LABELS)))
    monkeypatch.setattr("service.server.routes.model.labels", lambda *_: 1 / 0)

    async def scenario() -> httpx2.Response:
        app = create_app(settings)
        transport = httpx2.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx2.AsyncClient(transport=transport, base_url="http://chipvote") as client,
        ):
            return await client.get("/labels")

    failed = asyncio.run(scenario())
    assert_problem(failed, 500)
    assert failed.headers["cache-control"] == "no-store"
    assert "division" not in failed.text
