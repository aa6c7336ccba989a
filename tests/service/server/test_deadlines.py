"""Chips that would be late: refused at once, or dropped."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from service.settings import Settings
from tests.kit.fakes import FakeEnsemble
from tests.kit.serving import serving
from tests.service.server.test_app import RED_JPEG, predict, run, started
from tests.service.server.test_problems import assert_problem


def test_a_late_chip_is_a_504_and_never_computed(settings: Settings, fake: FakeEnsemble) -> None:
    async def scenario() -> None:
        async with started(settings.model_copy(update={"deadline_s": 2, "max_batch": 1})) as client:
            fake.gate.clear()
            late = asyncio.gather(*(predict(client) for _ in range(5)), predict(client, 4))
            *single, many = await late
            for response in single:
                assert "no answer within 2 s" in assert_problem(response, 504)["detail"]
            failures = [prediction["error"] for prediction in many.json()["predictions"]]
            assert [failure["status"] for failure in failures] == [504] * 4
            fake.gate.set()
            assert (await predict(client)).status_code == 200
            counted = 'chipvote_dropped_chips_total{reason="Deadline passed"} 9.0'
            assert counted in (await client.get("/metrics")).text

    run(scenario)
    assert sum(fake.batch_sizes) == 2  # one was inside already


@pytest.mark.parametrize("jump_s", [-86400, 86400])
def test_the_time_of_day_may_jump(
    settings: Settings, fake: FakeEnsemble, monkeypatch: pytest.MonkeyPatch, jump_s: int
) -> None:
    real, jumped = time.time, 0
    monkeypatch.setattr(time, "time", lambda: real() + jumped)
    changed = settings.model_copy(update={"deadline_s": 60, "idle_s": 60, "header_s": 60, "watchdog_s": 60})

    def scenario(client: httpx2.Client) -> None:
        nonlocal jumped
        assert client.get("/health/ready").status_code == 200
        fake.gate.clear()
        with ThreadPoolExecutor(1) as thread:
            waiting = thread.submit(client.post, "/predict", files={"chip": RED_JPEG})
            assert fake.entered.wait(60)
            jumped = jump_s
            assert httpx2.get(client.base_url.join("/health/ready"), timeout=60).status_code == 200
            fake.gate.set()
            assert waiting.result().status_code == 200
        assert client.post("/predict", files={"chip": RED_JPEG}).status_code == 200

    with serving(changed) as client:
        scenario(client)


def test_a_client_may_wait_for_less_and_hears_when_to_come_again(
    settings: Settings, fake: FakeEnsemble
) -> None:
    async def scenario() -> None:
        async with started(settings) as client:
            hurried = {"Content-Type": "image/jpeg", "Prefer": "wait=1"}
            assert (await predict(client)).status_code == 200
            fake.gate.clear()
            asyncio.get_running_loop().call_later(0.5, fake.gate.set)
            assert (await predict(client)).status_code == 200  # so it answers a chip in half a second
            fake.gate.clear()
            waiting = asyncio.gather(*(predict(client) for _ in range(8)))
            while "queue_places_taken 8.0" not in (await client.get("/metrics")).text:
                await asyncio.sleep(0.01)
            refused = await client.post("/predict", content=RED_JPEG, headers=hurried)
            assert "is due in 1 s; send the request again in" in assert_problem(refused, 503)["detail"]
            assert 1 <= int(refused.headers["retry-after"]) <= 30
            fake.gate.set()
            assert {response.status_code for response in await waiting} == {200}

    run(scenario)
