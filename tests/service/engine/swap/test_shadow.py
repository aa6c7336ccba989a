import asyncio

import numpy as np
import pytest

from service.contract.bundle import load
from service.engine.served import open_served
from service.engine.swap.shadow import MOST, Shadow
from service.engine.verdict import Verdict
from service.metrics import Metrics
from service.settings import Settings
from tests.kit.fakes import LABELS, SIZE_PX, FakeEnsemble

CHIP_HWC = np.zeros((SIZE_PX, SIZE_PX, 3), np.uint8)
YES, NO = (Verdict([0.5] * 4, [0] * 4, [sure] * 4, 3) for sure in (True, False))  # the fake says yes


def test_it_counts_what_differs_and_what_fails_and_never_takes_too_much(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeEnsemble(len(LABELS))
    monkeypatch.setattr("service.engine.served.open_ensemble", lambda *_: fake)

    async def settled(shadow: Shadow, **wanted: int) -> None:
        async with asyncio.timeout(120):
            while any(shadow.told()[name] != number for name, number in wanted.items()):  # type: ignore[literal-required]
                await asyncio.sleep(0.005)

    async def scenario() -> None:
        served, candidate = [await open_served(load(settings.bundle), settings, Metrics()) for _ in range(2)]
        shadow = Shadow(served, candidate, 1, Metrics())
        for answer in (YES, NO, NO):
            await asyncio.to_thread(shadow.offer, CHIP_HWC, answer)  # as the engine's threads do
        await settled(shadow, chips=3, different=2)
        assert [label["added"] for label in shadow.told()["labels"]] == [2] * len(LABELS)
        fake.fail_next = RuntimeError("of no use")
        shadow.offer(CHIP_HWC, YES)
        await settled(shadow, chips=3, failed=1)
        fake.gate.clear()
        for _ in range(MOST + 5):
            shadow.offer(CHIP_HWC, YES)
        await settled(shadow, skipped=5)
        fake.gate.set()
        await settled(shadow, chips=3 + MOST, skipped=5, failed=1)
        await served.close()
        await candidate.close()

    asyncio.run(scenario())


@pytest.mark.parametrize(("share", "least", "most"), [(0, 0, 0), (0.3, 200, 400), (1, 1000, 1000)])
def test_its_share_of_the_chips_is_what_was_asked(
    settings: Settings, share: float, least: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeEnsemble(len(LABELS))
    monkeypatch.setattr("service.engine.served.open_ensemble", lambda *_: fake)

    async def scenario() -> int:
        served = await open_served(load(settings.bundle), settings, Metrics())
        shadow = Shadow(served, served, share, Metrics())
        for _ in range(1000):
            shadow.offer(CHIP_HWC, YES)
        await asyncio.sleep(0)
        await served.close()
        told = shadow.told()
        return told["chips"] + told["skipped"]

    assert least <= asyncio.run(scenario()) <= most
