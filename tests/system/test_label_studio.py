"""The backend for Label Studio, by HTTP, between a stand-in for it and a real service."""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import httpx2
import pytest
import uvicorn

from service.contract.bundle import Bundle
from tests.kit.fakes import BLUE, RED, encoded, picture
from tests.kit.serving import ROOT, listening, standing_in

BACKEND = ROOT / "deploy/label_studio/backend.py"


@contextmanager
def label_studio(asked: list[tuple[str, str | None]]) -> Iterator[str]:
    """A server that has a red chip at every address, and notes who asked for what."""
    chip = encoded(picture(RED), "PNG")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, self.headers.get("Authorization")))
            elsewhere = "elsewhere" in self.path
            self.send_response(302 if elsewhere else 200)
            self.send_header("Location", "/data/upload/1/chip.png")
            self.send_header("Content-Length", str(len(chip)))
            self.end_headers()
            self.wfile.write(chip)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: ANN401
            """Say nothing."""

    with standing_in(Handler) as address:
        yield address


@pytest.fixture
def asked() -> list[tuple[str, str | None]]:
    return []


@pytest.fixture
def host(asked: list[tuple[str, str | None]]) -> Iterator[str]:
    with label_studio(asked) as address:
        yield address


@pytest.fixture
def backend(
    client: httpx2.Client, host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[httpx2.Client]:
    (tmp_path / "files").mkdir()
    picture(BLUE).save(tmp_path / "files/blue.png")
    picture(BLUE).save(tmp_path / "secret.png")
    (tmp_path / "files/out.png").symlink_to(tmp_path / "secret.png")
    monkeypatch.setenv("LABEL_STUDIO_URL", host)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "abc")
    monkeypatch.setenv("LABEL_STUDIO_FILES", str(tmp_path / "files"))
    monkeypatch.setenv("CHIPVOTE_URL", str(client.base_url))
    spec = importlib.util.spec_from_file_location("backend", BACKEND)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with listening(uvicorn.Config(module.create_app(), port=0, log_config=None)) as connected:
        yield connected


def predict(backend: httpx2.Client, *addresses: Any) -> list[list[str]]:  # noqa: ANN401
    """Ask for pre-annotations as Label Studio does; return each task's choices."""
    tasks = [{"id": index, "data": {"image": address}} for index, address in enumerate(addresses)]
    body = {"tasks": tasks, "project": "1.1", "label_config": "<View/>", "params": {"context": None}}
    answer = backend.post("/predict", json=body)
    assert answer.status_code == 200, answer.text
    results = answer.json()["results"]
    for result in results:
        assert result["model_version"] == "1.2.3"
        assert (result["score"] > 0.9) == bool(result["result"])
    return [[choice for region in one["result"] for choice in region["value"]["choices"]] for one in results]


def test_label_studio_connects_and_gets_its_configuration(backend: httpx2.Client, colours: Bundle) -> None:
    assert backend.get("/health").json()["status"] == "UP"
    told = {"project": "1.1", "schema": "<View/>", "hostname": "http://x", "access_token": "y"}
    assert backend.post("/setup", json=told).json() == {"model_version": "1.2.3"}
    view = ElementTree.fromstring(backend.get("/config.xml").text)
    assert [choice.get("value") for choice in view.iter("Choice")] == colours.label_names
    (choices,) = view.iter("Choices")
    assert (choices.get("name"), choices.get("toName"), choices.get("choice")) == (
        "labels",
        "image",
        "multiple",
    )


def test_uploads_and_local_files_get_choices(
    backend: httpx2.Client, host: str, asked: list[tuple[str, str | None]]
) -> None:
    found = predict(
        backend, "/data/upload/1/a.png", f"{host}/data/upload/1/b.png", "/data/local-files/?d=blue.png"
    )
    assert found == [["reddish"], ["reddish"], ["bluish"]]
    assert asked == [("/data/upload/1/a.png", "Token abc"), ("/data/upload/1/b.png", "Token abc")]


def test_nothing_is_fetched_from_elsewhere(
    backend: httpx2.Client, host: str, tmp_path: Path, asked: list[tuple[str, str | None]]
) -> None:
    others: list[tuple[str, str | None]] = []
    with label_studio(others) as other:
        port = host.rpartition(":")[2]
        addresses = [
            f"{other}/data/upload/1/a.png",
            f"//{other.removeprefix('http://')}/data/a.png",
            f"http://127.0.0.1:{port}@{other.removeprefix('http://')}/data/a.png",
            f"https://127.0.0.1:{port}/data/a.png",
            f"{host}/api/users",
            f"{host}/data/../api/users",
            f"{host}/data/%2e%2e/api/users",
            "file:///etc/passwd",
            "s3://bucket/data/a.png",
            "/data/local-files/?d=../secret.png",
            f"/data/local-files/?d={tmp_path}/secret.png",
            "/data/local-files/?d=out.png",
            "/data/local-files/",
            ["/data/upload/1/a.png"],
            None,
        ]
        assert predict(backend, *addresses) == [[]] * len(addresses)
    assert (asked, others) == ([], [])


def test_a_task_that_cannot_be_used_costs_the_others_nothing(backend: httpx2.Client) -> None:
    found = predict(
        backend,
        "/data/elsewhere",
        "/data/local-files/?d=lost.png",
        "/data/upload/a.png",
        "/data/local-files/?d=.",
    )
    assert found == [[], [], ["reddish"], []]
