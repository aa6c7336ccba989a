import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from service.contract.errors import CorruptChip, NotAnImage
from service.contract.manifest import InputSpec
from service.engine.batching import Engine
from service.engine.decoding import Decoders
from service.engine.queue.fair_queue import Line
from service.engine.queue.ticket import Pending
from service.engine.verdict import Verdict
from service.metrics import Metrics
from tests.kit.fakes import RED, SIZE_PX, FakeEnsemble, encoded, picture

SPEC = InputSpec(bands=("red", "green", "blue"), height=SIZE_PX, width=SIZE_PX)
PNG = encoded(picture(RED), "PNG")


@asynccontextmanager
async def started(ensemble: FakeEnsemble) -> AsyncIterator[Callable[[bytes], Coroutine[Any, Any, Verdict]]]:
    """What answers one chip."""
    engine = Engine(lambda: ensemble, max_batch=8, metrics=Metrics())
    await engine.start()
    decoders = Decoders(engine, SPEC, threads=2)

    async def vote(data: bytes) -> Verdict:
        answer: Pending = asyncio.get_running_loop().create_future()
        decoders.put(data, answer, Line())
        return await answer

    try:
        yield vote
    finally:
        await engine.stop()
        await decoders.stop()


def test_each_chip_is_decoded_and_answered_or_refused_by_itself() -> None:
    async def scenario() -> None:
        async with started(FakeEnsemble()) as vote:
            answers = await asyncio.gather(*map(vote, [PNG, b"text", PNG, PNG[:50]]), return_exceptions=True)
        first, no_image, third, cut = answers
        assert not isinstance(first, BaseException)
        assert first == third
        assert first.probabilities == [RED[0]]
        assert isinstance(no_image, NotAnImage)
        assert isinstance(cut, CorruptChip)

    asyncio.run(scenario())


def test_who_gave_up_costs_nothing() -> None:
    ensemble = FakeEnsemble()

    async def scenario() -> None:
        async with started(ensemble) as vote:
            waiting = asyncio.create_task(vote(PNG))
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await vote(PNG)

    asyncio.run(scenario())
    assert 1 <= sum(ensemble.batch_sizes) <= 2


def test_bytes_that_nobody_waits_for_are_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, gate = threading.Event(), threading.Event()

    def slow(*_: object) -> None:
        begun.set()
        assert gate.wait(60)
        raise CorruptChip("at last")

    monkeypatch.setattr("service.engine.decoding.decode", slow)

    async def scenario() -> None:
        async with started(FakeEnsemble()) as vote:
            busy = [asyncio.create_task(vote(PNG)) for _ in range(2)]  # a thread each
            await asyncio.to_thread(begun.wait, 60)
            data = bytes(1000)
            unheld = sys.getrefcount(data)
            waiting = asyncio.create_task(vote(data))
            await asyncio.sleep(0)
            assert sys.getrefcount(data) > unheld
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            del waiting
            await asyncio.sleep(0)
            assert sys.getrefcount(data) == unheld
            gate.set()
            await asyncio.gather(*busy, return_exceptions=True)

    asyncio.run(scenario())
