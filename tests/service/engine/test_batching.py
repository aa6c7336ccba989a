import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

import numpy as np
import pytest

from service.contract.errors import BundleError, NotReady, OutOfMemory, ServiceError
from service.engine.batching import Engine
from service.engine.queue.admission import Admission
from service.engine.verdict import Verdict
from service.metrics import Metrics
from tests.kit.fakes import Chips, FakeEnsemble


class Accepting(NamedTuple):
    """An engine, and what lets requests in to it."""

    engine: Engine[FakeEnsemble]
    admission: Admission

    async def ask(self, values: list[int]) -> list[float]:
        """Send one request and return what its chips were answered."""

        async def one(value: int) -> float:
            vote = await ticket.vote(lambda answer: self.engine.put(chip(value), answer, ticket.line))
            return vote.probabilities[0]

        with self.admission.reserve(len(values)) as ticket:
            return list(await asyncio.gather(*map(one, values)))


@asynccontextmanager
async def started(
    ensemble: FakeEnsemble, *, max_batch: int = 8, places: int = 100, metrics: Metrics | None = None
) -> AsyncIterator[Accepting]:
    engine = Engine(lambda: ensemble, max_batch=max_batch, metrics=metrics or Metrics())
    assert await engine.start() is ensemble
    admission = Admission(places, 2 * max_batch)
    admission.open()
    try:
        yield Accepting(engine, admission)
    finally:
        ensemble.gate.set()
        await admission.close()
        await engine.stop()


def chip(value: int) -> Chips:
    return np.full((2, 2, 3), value, np.uint8)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.001)


def run(scenario: Callable[[FakeEnsemble], Awaitable[None]]) -> FakeEnsemble:
    ensemble = FakeEnsemble()

    async def bounded() -> None:
        async with asyncio.timeout(60):
            await scenario(ensemble)

    asyncio.run(bounded())
    return ensemble


def test_every_chip_gets_its_own_answer_from_one_thread() -> None:
    async def scenario(ensemble: FakeEnsemble) -> None:
        async with started(ensemble) as engine:
            requests = [list(range(first, first + 7)) for first in range(0, 70, 7)]
            assert await asyncio.gather(*(engine.ask(request) for request in requests)) == requests

    ensemble = run(scenario)
    assert ensemble.threads == {"engine-0"}
    assert sum(ensemble.batch_sizes) == 70


def test_a_busy_engine_takes_what_waits_up_to_the_limit() -> None:
    async def scenario(ensemble: FakeEnsemble) -> None:
        async with started(ensemble, max_batch=8) as engine:
            ensemble.gate.clear()
            asks = [asyncio.create_task(engine.ask([value])) for value in range(11)]
            await until(ensemble.entered.is_set)
            ensemble.gate.set()
            assert await asyncio.gather(*asks) == [[value] for value in range(11)]

    ensemble = run(scenario)
    assert ensemble.batch_sizes[0] <= 8
    assert max(ensemble.batch_sizes) <= 8
    assert len(ensemble.batch_sizes) <= 3  # however the first chips arrived, the rest came together


def test_a_request_larger_than_the_queue_slows_itself_down() -> None:
    async def scenario(ensemble: FakeEnsemble) -> None:
        async with started(ensemble, max_batch=4, places=5) as engine:
            assert await engine.ask(list(range(100))) == list(range(100))

    assert max(run(scenario).batch_sizes) <= 4


def test_a_large_request_leaves_places_to_others() -> None:
    async def scenario(ensemble: FakeEnsemble) -> None:
        async with started(ensemble, max_batch=2, places=5) as engine:
            ensemble.gate.clear()
            large = asyncio.create_task(engine.ask(list(range(50))))
            await until(ensemble.entered.is_set)
            small = asyncio.create_task(engine.ask([200]))
            await asyncio.sleep(0)
            ensemble.gate.set()
            assert await small == [200]
            assert not large.done()
            assert await large == list(range(50))

    run(scenario)


def test_a_failing_batch_answers_its_callers_and_spares_the_next(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(ensemble: FakeEnsemble) -> None:
        async with started(ensemble) as engine:
            ensemble.fail_next = RuntimeError("secret")
            with pytest.raises(ServiceError) as caught:
                await engine.ask([1])
            assert "secret" not in str(caught.value)
            assert await engine.ask([2]) == [2]

    with caplog.at_level(logging.ERROR, "chipvote"):
        run(scenario)
    assert caplog.records[0].exc_info is not None


SHORTAGES = [
    MemoryError("secret"),
    RuntimeError("Failed to allocate memory for requested buffer of size 4294967296"),
    RuntimeError("CUDA failure 2: out of memory"),
    RuntimeError("CUBLAS_STATUS_ALLOC_FAILED"),
]


@pytest.mark.parametrize("shortage", SHORTAGES)
def test_a_batch_too_large_for_the_memory_is_halved(shortage: Exception) -> None:
    class Short(FakeEnsemble):
        def vote(self, chips_BHWC: Chips, explain: bool = False) -> list[Verdict]:
            if len(chips_BHWC) > 2 or (chips_BHWC == 13).any():
                self.batch_sizes.append(len(chips_BHWC))
                raise shortage
            return super().vote(chips_BHWC, explain)

    ensemble = Short()

    async def scenario() -> None:
        async with started(ensemble, max_batch=8) as engine:
            ensemble.gate.clear()
            first = asyncio.create_task(engine.ask([0]))
            await until(ensemble.entered.is_set)
            others = [asyncio.create_task(engine.ask([value])) for value in (1, 2, 3, 4, 5, 13, 7, 8)]
            await until(lambda: engine.admission.on_way == 9)
            ensemble.gate.set()
            answers = await asyncio.gather(first, *others, return_exceptions=True)
            (failed,) = [answer for answer in answers if isinstance(answer, BaseException)]
            assert isinstance(failed, OutOfMemory)
            assert "secret" not in str(failed)
            assert [answer for answer in answers if answer is not failed] == [
                [v] for v in (0, 1, 2, 3, 4, 5, 7, 8)
            ]

    asyncio.run(scenario())
    assert ensemble.batch_sizes == [1, 8, 4, 2, 2, 4, 2, 1, 1, 2]


def test_requests_take_turns() -> None:
    """Chips are inside in the order in which the engine took them, one at a time."""

    class Noting(FakeEnsemble):
        def vote(self, chips_BHWC: Chips, explain: bool = False) -> list[Verdict]:
            taken.extend(chips_BHWC[:, 0, 0, 0].tolist())
            return super().vote(chips_BHWC, explain)

    taken: list[int] = []
    ensemble = Noting()

    async def scenario() -> None:
        async with started(ensemble, max_batch=2) as engine:
            ensemble.gate.clear()
            asks = [asyncio.create_task(engine.ask([first + i for i in range(4)])) for first in (10, 20)]
            await until(ensemble.entered.is_set)
            asks += [asyncio.create_task(engine.ask([value])) for value in (1, 2, 3)]
            await until(lambda: engine.admission.on_way == 11)
            ensemble.gate.set()
            await asyncio.gather(*asks)

    asyncio.run(scenario())
    behind = taken[taken.index(1) - 1 :]  # from where lone chips were there
    assert [value < 10 for value in behind[:6]].count(True) == 3
    assert [value // 10 for value in behind if value >= 10][:4] in ([1, 2, 1, 2], [2, 1, 2, 1])


def test_a_caller_that_gives_up_costs_the_others_nothing() -> None:
    async def scenario(ensemble: FakeEnsemble) -> None:
        async with started(ensemble, places=4) as engine:
            ensemble.gate.clear()
            inside = asyncio.create_task(engine.ask([1]))
            await until(ensemble.entered.is_set)
            queued = asyncio.create_task(engine.ask([2]))
            patient = asyncio.create_task(engine.ask([3]))
            await asyncio.sleep(0.01)
            inside.cancel()
            queued.cancel()
            await asyncio.sleep(0.01)
            ensemble.gate.set()
            assert await patient == [3]
            assert inside.cancelled() and queued.cancelled()
            assert await engine.ask([4, 5, 6, 7]) == [4, 5, 6, 7]  # the slots came back

    assert run(scenario).batch_sizes[:2] == [1, 1]  # and the queued chip was never run


def test_stopping_answers_what_was_accepted_and_refuses_the_rest() -> None:
    async def scenario(ensemble: FakeEnsemble) -> None:
        async with started(ensemble, max_batch=2, places=4) as engine:
            ensemble.gate.clear()
            accepted = asyncio.create_task(engine.ask(list(range(20))))
            await until(ensemble.entered.is_set)
            stopping = asyncio.create_task(engine.admission.close())
            await asyncio.sleep(0)
            with pytest.raises(NotReady):
                await engine.ask([99])
            ensemble.gate.set()
            assert await accepted == list(range(20))
            await stopping

    run(scenario)


def test_a_voter_that_does_not_open_stops_the_start() -> None:
    def broken() -> FakeEnsemble:
        raise BundleError("member.onnx: no usable graph")

    async def scenario(ensemble: FakeEnsemble) -> None:
        engine = Engine(broken, max_batch=1, metrics=Metrics())
        with pytest.raises(BundleError, match="no usable graph"):
            await engine.start()

    run(scenario)


def test_lanes_answer_at_the_same_time_and_all_end() -> None:
    """Two chips are inside together, each alone; none is lost when the engine stops."""
    ensemble = FakeEnsemble()
    ensemble.lane_count, ensemble.at_once = 2, 1
    before = set(threading.enumerate())

    async def scenario() -> None:
        async with started(ensemble) as engine:
            ensemble.gate.clear()
            asks = [asyncio.create_task(engine.ask([value])) for value in range(5)]
            await until(lambda: len(ensemble.batch_sizes) == 2)
            ensemble.gate.set()
            assert await asyncio.gather(*asks) == [[value] for value in range(5)]
        assert not {thread for thread in threading.enumerate() if thread.name.startswith("engine")} - before

    asyncio.run(scenario())
    assert ensemble.batch_sizes == [1] * 5
    assert ensemble.threads == {"engine-0", "engine-1"}


def test_the_engine_measures_itself() -> None:
    metrics = Metrics()

    async def scenario(ensemble: FakeEnsemble) -> None:
        async with started(ensemble, metrics=metrics) as engine:
            await engine.ask([1, 2, 3])
            assert engine.engine.depth == 0

    run(scenario)
    assert metrics.registry.get_sample_value("chipvote_batch_chips_sum") == 3
    assert metrics.registry.get_sample_value("chipvote_engine_seconds_count")
