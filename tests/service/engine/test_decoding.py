import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from service.contract.errors import CorruptChip, NotAnImage
from service.contract.manifest import InputSpec
from service.engine.batching import Engine
from service.engine.decoding import Decoders
from service.metrics import Metrics
from tests.kit.fakes import RED, SIZE_PX, FakeEnsemble, encoded, picture

SPEC = InputSpec(bands=("red", "green", "blue"), height=SIZE_PX, width=SIZE_PX)
PNG = encoded(picture(RED), "PNG")


@asynccontextmanager
async def started(ensemble: FakeEnsemble) -> AsyncIterator[Decoders]:
    engine = Engine(lambda: ensemble, max_batch=8, queue_size=100, metrics=Metrics())
    await engine.start()
    decoders = Decoders(engine, SPEC, threads=2)
    try:
        yield decoders
    finally:
        await engine.stop()
        decoders.close()


def test_each_chip_is_decoded_and_answered_or_refused_by_itself() -> None:
    async def scenario() -> None:
        async with started(FakeEnsemble()) as decoders:
            answers = await asyncio.gather(
                *map(decoders.vote, [PNG, b"text", PNG, PNG[:50]]), return_exceptions=True
            )
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
        async with started(ensemble) as decoders:
            waiting = asyncio.create_task(decoders.vote(PNG))
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await decoders.vote(PNG)

    asyncio.run(scenario())
    assert 1 <= sum(ensemble.batch_sizes) <= 2
