import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import numpy as np
import pytest

from service.contract.bundle import load
from service.contract.errors import BundleError, DeadlinePassed, NotAnImage, ServiceError
from service.engine.queue.fair_queue import Line
from service.engine.served import Served, open_served
from service.engine.verdict import Verdict
from service.metrics import Metrics
from service.settings import Settings
from tests.kit.fakes import BLUE, GREEN, LABELS, RED, SIZE_PX, FakeEnsemble, encoded, picture

RED_PNG, GREEN_PNG, BLUE_PNG = (encoded(picture(colour), "PNG") for colour in (RED, GREEN, BLUE))


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(120):
            await scenario()

    asyncio.run(bounded())


async def vote(served: Served, data: bytes) -> Verdict:
    with served.admission.reserve(1) as ticket:
        return await served.vote(ticket, data)


@asynccontextmanager
async def serving(settings: Settings, metrics: Metrics) -> AsyncIterator[Served]:
    served = await open_served(load(settings.bundle), settings, metrics)
    try:
        yield served
    finally:
        await served.close()


def count(served: Served, name: str, **labels: str) -> float | None:
    return served.metrics.registry.get_sample_value(name, labels)


def test_a_served_bundle_answers_and_counts_its_labels(settings: Settings) -> None:
    async def scenario() -> None:
        async with serving(settings, Metrics()) as served:
            votes = [await vote(served, chip) for chip in (RED_PNG, GREEN_PNG, RED_PNG)]
            names = [
                [name for name, set_ in zip(served.bundle.label_names, said.predicted, strict=True) if set_]
                for said in votes
            ]
            assert names == [["reddish"], ["greenish"], ["reddish"]]
            found = [count(served, "chipvote_labels_predicted_total", label=label) for label in LABELS]
            assert found == [2, 1, 0, 0]  # there from the start
            assert count(served, "chipvote_chips_total", outcome="answered") == 3

    run(scenario)


def test_a_chip_that_is_pixels_already_is_answered_alike_and_has_its_own_time(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    chip_HWC, fake = np.asarray(picture(RED)), FakeEnsemble(len(LABELS))
    monkeypatch.setattr("service.engine.served.open_ensemble", lambda *_: fake)

    async def scenario() -> None:
        async with serving(settings, Metrics()) as served:
            with served.admission.reserve(3) as ticket:
                assert (await served.vote_on(ticket, chip_HWC)).predicted == [True] * len(LABELS)
                fake.gate.clear()
                with pytest.raises(DeadlinePassed, match=r"within 0.05 s"):
                    await served.vote_on(ticket, chip_HWC, within_s=0.05)
                fake.gate.set()
                assert (await served.vote_on(ticket, chip_HWC, within_s=10)).members
            assert count(served, "chipvote_chips_total", outcome="answered") == 2
            assert count(served, "chipvote_chips_total", outcome="dropped") == 1

    run(scenario)


def test_two_bundles_in_one_process_count_apart(settings: Settings) -> None:
    async def scenario() -> None:
        async with serving(settings, Metrics()) as first, serving(settings, Metrics()) as second:
            assert await vote(first, BLUE_PNG) == await vote(second, BLUE_PNG)
            await vote(second, BLUE_PNG)
            counted = [count(one, "chipvote_chips_total", outcome="answered") for one in (first, second)]
            assert counted == [1, 2]

    run(scenario)


def test_what_is_refused_and_what_fails_is_counted_apart(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensemble = FakeEnsemble(len(LABELS))
    ensemble.fail_next = RuntimeError("the device is gone")
    monkeypatch.setattr("service.engine.served.open_ensemble", lambda *_: ensemble)

    async def scenario() -> None:
        async with serving(settings, Metrics()) as served:
            with pytest.raises(NotAnImage):
                await vote(served, b"text")
            with pytest.raises(ServiceError):
                await vote(served, RED_PNG)
            await vote(served, RED_PNG)
            outcomes = ("refused", "failed", "answered")
            counted = [count(served, "chipvote_chips_total", outcome=outcome) for outcome in outcomes]
            assert counted == [1, 1, 1]

    run(scenario)


def test_what_was_asked_before_the_end_is_answered(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensemble = FakeEnsemble(len(LABELS))
    monkeypatch.setattr("service.engine.served.open_ensemble", lambda *_: ensemble)

    async def scenario() -> None:
        ensemble.gate.clear()
        async with serving(settings, Metrics()) as served:
            asked = asyncio.create_task(vote(served, RED_PNG))
            while not ensemble.entered.is_set():
                await asyncio.sleep(0.005)
            asyncio.get_running_loop().call_later(0.1, ensemble.gate.set)
        assert (await asked).probabilities == [RED[0]] * len(LABELS)

    run(scenario)


def test_an_altered_bundle_is_not_served(settings: Settings) -> None:
    async def scenario() -> None:
        with pytest.raises(BundleError, match="cannot be read"):
            async with serving(settings.model_copy(update={"bundle": settings.bundle / "none"}), Metrics()):
                pass

    run(scenario)


def test_a_thread_that_hangs_over_what_nobody_waits_for_keeps_nobody_from_closing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensemble = FakeEnsemble(len(LABELS))
    monkeypatch.setattr("service.engine.served.open_ensemble", lambda *_: ensemble)

    async def scenario() -> None:
        async with serving(settings.model_copy(update={"watchdog_s": 0.4}), Metrics()) as served:
            ensemble.gate.clear()
            chip_HWC = np.zeros((SIZE_PX, SIZE_PX, 3), np.uint8)
            served.engine.put(chip_HWC, asyncio.get_running_loop().create_future(), Line())
            while not ensemble.entered.is_set():
                await asyncio.sleep(0.005)
        assert served.stuck
        ensemble.gate.set()
        await served.engine.stop()

    run(scenario)
