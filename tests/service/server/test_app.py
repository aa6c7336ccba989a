import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from fastapi import FastAPI

from service.contract.bundle import Bundle
from service.contract.chips.decode import Decoded
from service.contract.chips.decode import decode as decode_file
from service.contract.errors import (
    BundleError,
    DeviceError,
    NotReady,
    ServiceError,
    SettingsError,
    StartupError,
)
from service.contract.manifest import InputSpec
from service.server.app import create_app
from service.settings import Settings
from tests.kit.fakes import RED, FakeEnsemble, encoded, make_bundle, picture
from tests.service.server.test_problems import assert_problem

RED_JPEG = encoded(picture(RED), "JPEG")


def client_of(app: FastAPI) -> httpx2.AsyncClient:
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    return httpx2.AsyncClient(transport=transport, base_url="http://chipvote", timeout=60)


@asynccontextmanager
async def started(settings: Settings) -> AsyncIterator[httpx2.AsyncClient]:
    app = create_app(settings)
    async with app.router.lifespan_context(app), client_of(app) as client:
        yield client


async def predict(client: httpx2.AsyncClient, count: int = 1) -> httpx2.Response:
    return await client.post("/predict", files=[("chip", ("red.jpg", RED_JPEG))] * count)


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(120):
            await scenario()

    asyncio.run(bounded())


def test_before_its_start_and_after_its_end_an_app_is_alive_but_not_ready(settings: Settings) -> None:
    async def scenario() -> None:
        app = create_app(settings)
        async with client_of(app) as client:
            for _ in range(2):
                assert (await client.get("/health/live")).status_code == 200
                response = await client.get("/health/ready")
                assert_problem(response, 503)
                assert response.headers["retry-after"] == "1"
                assert_problem(await predict(client), 503)
                async with app.router.lifespan_context(app):
                    assert (await client.get("/health/ready")).status_code == 200
                    assert (await predict(client)).status_code == 200

    run(scenario)


def test_two_apps_in_one_process_share_nothing(colours: Bundle, tmp_path: Path) -> None:
    other = make_bundle(tmp_path)

    async def scenario() -> None:
        first, second = (Settings(bundle=bundle.folder, device="cpu") for bundle in (colours, other))
        async with started(first) as one, started(second) as two:
            assert (await predict(one)).json() == (await predict(two)).json()
            await predict(one)
            counted = 'chipvote_chips_total{outcome="answered"} '
            assert f"{counted}2.0" in (await one.get("/metrics")).text
            assert f"{counted}1.0" in (await two.get("/metrics")).text

    run(scenario)


def test_overload_is_a_503_that_says_when_to_retry(settings: Settings, fake: FakeEnsemble) -> None:
    async def scenario() -> None:
        async with started(settings.model_copy(update={"queue_size": 2})) as client:
            fake.gate.clear()
            accepted = [asyncio.create_task(predict(client, 10)) for _ in range(2)]
            while "queue_places_taken 2.0" not in (await client.get("/metrics")).text:
                await asyncio.sleep(0.001)
            refused = await predict(client)
            assert "2 requests are already waiting" in assert_problem(refused, 503)["detail"]
            assert refused.headers["retry-after"] == "1"
            assert (await client.get("/health/ready")).status_code == 200
            fake.gate.set()
            for answered in await asyncio.gather(*accepted):
                assert len(answered.json()["predictions"]) == 10
            assert (await predict(client)).status_code == 200

    run(scenario)


def test_an_engine_failure_is_a_500_in_its_place_and_the_next_request_is_answered(
    settings: Settings, fake: FakeEnsemble, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with started(settings) as client:
            fake.fail_next = RuntimeError("secret")
            response = await predict(client)
            assert_problem(response, 500)
            fake.fail_next = RuntimeError("secret")
            many = await predict(client, 30)
            assert many.status_code == 200
            failures = [item["error"] for item in many.json()["predictions"] if "error" in item]
            assert 1 <= len(failures) < 30
            assert all(failure["status"] == 500 for failure in failures)
            assert "secret" not in response.text + many.text
            assert (await predict(client)).status_code == 200
            assert 'chipvote_chips_total{outcome="failed"}' in (await client.get("/metrics")).text

    with caplog.at_level(logging.ERROR, "chipvote"):
        run(scenario)
    assert "secret" in caplog.text


def test_an_unforeseen_error_is_a_generic_500(
    settings: Settings, fake: FakeEnsemble, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr("service.engine.decoding.decode", broken)

    async def scenario() -> None:
        async with started(settings) as client:
            response = await predict(client)
            assert_problem(response, 500)
            assert "secret" not in response.text
            text = (await client.get("/metrics")).text
            assert 'chipvote_requests_total{route="/predict",status="500"} 1.0' in text

    run(scenario)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RuntimeError("secret"), 500),
        (MemoryError(), 503),
        (NotReady("wait"), 503),
        (ServiceError("secret"), 500),
    ],
)
def test_a_chip_that_fails_for_our_own_reason_costs_the_others_nothing(
    settings: Settings,
    fake: FakeEnsemble,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    status: int,
) -> None:
    def decode(data: bytes, spec: InputSpec) -> Decoded:
        if data == b"unlucky":
            raise error
        return decode_file(data, spec)

    monkeypatch.setattr("service.engine.decoding.decode", decode)

    async def scenario() -> None:
        async with started(settings) as client:
            files = [("chip", (name, RED_JPEG if name != "b" else b"unlucky")) for name in "abc"]
            many = await client.post("/predict", files=files)
            assert many.status_code == 200
            first, failed, last = many.json()["predictions"]
            assert "labels" in first and "labels" in last
            assert (failed["filename"], failed["error"]["status"]) == ("b", status)
            alone = await client.post("/predict", files=files[1:2])
            assert_problem(alone, status)
            assert alone.headers.get("retry-after") == ("1" if status == 503 else None)
            assert "secret" not in many.text + alone.text

    with caplog.at_level(logging.ERROR, "chipvote"):
        run(scenario)
    assert ("secret" in caplog.text) == isinstance(error, RuntimeError)


def test_stopping_answers_what_was_accepted(settings: Settings, fake: FakeEnsemble) -> None:
    async def scenario() -> None:
        app = create_app(settings)
        async with client_of(app) as client:
            async with app.router.lifespan_context(app):
                fake.gate.clear()
                accepted = asyncio.create_task(predict(client, 30))
                while not fake.entered.is_set():
                    await asyncio.sleep(0.001)
                asyncio.get_running_loop().call_later(0.05, fake.gate.set)
            assert len((await accepted).json()["predictions"]) == 30

    run(scenario)


def spoil(bundle: Bundle) -> None:
    (bundle.folder / "member1.float32.onnx").write_bytes(b"cut short")


@pytest.mark.parametrize(
    ("make", "options", "error", "says"),
    [
        (lambda folder: None, {}, BundleError, r"bundle\.json: cannot be read"),
        (
            lambda folder: spoil(make_bundle(folder)),
            {},
            BundleError,
            r"member1\.float32\.onnx: it has 9 bytes",
        ),
        (lambda folder: make_bundle(folder, golden_flip=True), {}, BundleError, r"golden\.npz"),
        (
            lambda folder: make_bundle(folder, graphs=lambda member: member.graph(batch=1)),
            {},
            BundleError,
            r"member0\.float32\.onnx: input chips",
        ),
        (make_bundle, {"precision": "int8"}, SettingsError, "CHIPVOTE_PRECISION"),
    ],
)
def test_what_is_broken_does_not_start(
    tmp_path: Path,
    make: Callable[[Path], object],
    options: dict[str, str],
    error: type[StartupError],
    says: str,
) -> None:
    make(tmp_path)

    async def scenario() -> None:
        settings = Settings.model_validate({"bundle": tmp_path, "device": "cpu", **options})
        with pytest.raises(error, match=says):
            async with started(settings):
                pass

    run(scenario)


def test_cuda_that_is_not_there_does_not_start(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])

    async def scenario() -> None:
        with pytest.raises(DeviceError):
            async with started(settings.model_copy(update={"device": "cuda"})):
                pass

    run(scenario)
