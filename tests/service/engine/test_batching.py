import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import numpy as np
import pytest

from service.contract.errors import BundleError, NotReady, Overloaded, ServiceError
from service.engine.batching import Engine
from service.engine.verdict import Verdict
from service.metrics import Metrics
from tests.kit.fakes import Chips, FakeEnsemble


@asynccontextmanager
async def started(
    ensemble: FakeEnsemble, *, max_batch: int = 8, queue_size: int = 100
) -> AsyncIterator[Engine[FakeEnsemble]]:
    engine = Engine(lambda: ensemble, max_batch=max_batch, queue_size=queue_size, metrics=Metrics())
    assert await engine.start() is ensemble
    try:
        yield engine
    finally:
        ensemble.gate.set()
        await engine.stop()


def chip(value: int) -> Chips:
    return np.full((2, 2, 3), value, np.uint8)


async def vote(engine: Engine[FakeEnsemble], chip_HWC: Chips) -> Verdict:
    answer = engine.expect()
    engine.put(chip_HWC, answer)
    return await answer


async def ask(engine: Engine[FakeEnsemble], values: list[int]) -> list[float]:
    """Send one request and return what its chips were answered."""

    async def one(value: int) -> float:
        async with slots:
            return (await vote(engine, chip(value))).probabilities[0]

    with engine.reserve(len(values)) as slots:
        return list(await asyncio.gather(*map(one, values)))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)


def run(scenario: Callable[[FakeEnsemble], Awaitable[None]]) -> FakeEnsemble:
    ensemble = FakeEnsemble()

    async def bounded() -> None:
        async with asyncio.timeout(10):
            await scenario(ensemble)

    asyncio.run(bounded())
    return ensemble


def test_every_chip_gets_its_own_answer_from_one_thread() -> None:
    async def scenario(ensemble: FakeEnsemble) -> None:
        async with started(ensemble) as engine:
            requests = [list(range(first, first + 7)) for first in range(0, 70, 7)]
            assert await asyncio.gather(*(ask(engine, request) for request in requests)) == requests

    ensemble = run(scenario)
    assert ensemble.threads == {"engine-0"}
    assert sum(ensemble.batch_sizes) == 70


def test_a_busy_engine_takes_what_waits_up_to_the_limit() -> None:
    async def scenario(ensemble: FakeEnsemble) -> None:
        async with started(ensemble, max_batch=8) as engine:
            ensemble.gate.clear()
            asks = [asyncio.create_task(ask(engine, [value])) for value in range(11)]
            await until(ensemble.entered.is_set)
            ensemble.gate.set()
            assert await asyncio.gather(*asks) == [[value] for value in range(11)]

    ensemble = run(scenario)
    assert ensemble.batch_sizes[0] <= 8
    assert max(ensemble.batch_sizes) <= 8
    assert len(ensemble.batch_sizes) <= 3  # however the first chips arrived, the rest came together


def test_a_full_queue_refuses_requests_and_keeps_those_it_took() -> None:
    async def scenario(ensemble: FakeEnsemble) -> None:
        async with started(ensemble, queue_size=3) as engine:
            ensemble.gate.clear()
            taken = asyncio.create_task(ask(engine, [1, 2, 3]))
            await until(ensemble.entered.is_set)
            with pytest.raises(Overloaded, match="3 chips"):
                engine.check()
            with pytest.raises(Overloaded):
                await ask(engine, [4])
            ensemble.gate.set()
            assert await taken == [1, 2, 3]
            assert await ask(engine, [4]) == [4]

    run(scenario)


def test_a_request_larger_than_the_queue_slows_itself_down() -> None:
    async def scenario(ensemble: FakeEnsemble) -> None:
        async with started(ensemble, max_batch=4, queue_size=5) as engine:
            assert await ask(engine, list(range(100))) == list(range(100))

    assert max(run(scenario).batch_sizes) <= 4


def test_a_large_request_leaves_places_to_others() -> None:
    async def scenario(ensemble: FakeEnsemble) -> None:
        async with started(ensemble, max_batch=2, queue_size=5) as engine:
            ensemble.gate.clear()
            large = asyncio.create_task(ask(engine, list(range(50))))
            await until(ensemble.entered.is_set)
            small = asyncio.create_task(ask(engine, [200]))
            await asyncio.sleep(0)
            ensemble.gate.set()
            assert await small == [200]
            assert not large.done()
            assert await large == list(range(50))

    run(scenario)


def test_a_failing_batch_answers_its_callers_and_spares_the_next(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(ensemble: FakeEnsemble) -> None:
        async with started(ensemble) as engine:
            ensemble.fail_next = MemoryError("secret")
            with pytest.raises(ServiceError) as caught:
                await ask(engine, [1])
            assert "secret" not in str(caught.value)
            assert await ask(engine, [2]) == [2]

    with caplog.at_level(logging.ERROR, "chipvote"):
        run(scenario)
    assert caplog.records[0].exc_info is not None


def test_a_caller_that_gives_up_costs_the_others_nothing() -> None:
    async def scenario(ensemble: FakeEnsemble) -> None:
        async with started(ensemble, queue_size=4) as engine:
            ensemble.gate.clear()
            inside = asyncio.create_task(ask(engine, [1]))
            await until(ensemble.entered.is_set)
            queued = asyncio.create_task(ask(engine, [2]))
            patient = asyncio.create_task(ask(engine, [3]))
            await asyncio.sleep(0.01)
            inside.cancel()
            queued.cancel()
            await asyncio.sleep(0.01)
            ensemble.gate.set()
            assert await patient == [3]
            assert inside.cancelled() and queued.cancelled()
            assert await ask(engine, [4, 5, 6, 7]) == [4, 5, 6, 7]  # the slots came back

    assert run(scenario).batch_sizes[:2] == [1, 1]  # and the queued chip was never run


def test_stopping_answers_what_was_accepted_and_refuses_the_rest() -> None:
    async def scenario(ensemble: FakeEnsemble) -> None:
        async with started(ensemble, max_batch=2, queue_size=4) as engine:
            ensemble.gate.clear()
            accepted = asyncio.create_task(ask(engine, list(range(20))))
            await until(ensemble.entered.is_set)
            stopping = asyncio.create_task(engine.stop())
            await asyncio.sleep(0)
            assert not engine.ready
            with pytest.raises(NotReady):
                await ask(engine, [99])
            ensemble.gate.set()
            assert await accepted == list(range(20))
            await stopping

    run(scenario)


def test_an_engine_that_has_not_started_is_not_ready() -> None:
    engine = Engine(FakeEnsemble, max_batch=1, queue_size=1, metrics=Metrics())
    with pytest.raises(NotReady):
        engine.check()


def test_a_voter_that_does_not_open_stops_the_start() -> None:
    def broken() -> FakeEnsemble:
        raise BundleError("member.onnx: no usable graph")

    async def scenario(ensemble: FakeEnsemble) -> None:
        engine = Engine(broken, max_batch=1, queue_size=1, metrics=Metrics())
        with pytest.raises(BundleError, match="no usable graph"):
            await engine.start()
        assert not engine.ready

    run(scenario)


def test_the_engine_measures_itself() -> None:
    metrics = Metrics()

    async def scenario(ensemble: FakeEnsemble) -> None:
        engine = Engine(lambda: ensemble, max_batch=8, queue_size=8, metrics=metrics)
        await engine.start()
        await ask(engine, [1, 2, 3])
        await engine.stop()

    run(scenario)
    assert metrics.registry.get_sample_value("chipvote_batch_chips_sum") == 3
    assert metrics.registry.get_sample_value("chipvote_queue_chips") == 0
    assert metrics.registry.get_sample_value("chipvote_engine_seconds_count")


def test_lanes_answer_at_the_same_time_and_all_end() -> None:
    """Two chips are inside together, each alone; none is lost when the engine stops."""
    ensemble = FakeEnsemble()
    ensemble.lane_count, ensemble.at_once = 2, 1
    before = set(threading.enumerate())

    async def scenario() -> None:
        async with started(ensemble) as engine:
            ensemble.gate.clear()
            asks = [asyncio.create_task(ask(engine, [value])) for value in range(5)]
            await until(lambda: len(ensemble.batch_sizes) == 2)
            ensemble.gate.set()
            assert await asyncio.gather(*asks) == [[value] for value in range(5)]
        assert not {thread for thread in threading.enumerate() if thread.name.startswith("engine")} - before

    asyncio.run(scenario())
    assert ensemble.batch_sizes == [1] * 5
    assert ensemble.threads == {"engine-0", "engine-1"}
