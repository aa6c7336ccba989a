import asyncio
import weakref
from pathlib import Path

import pytest

from service.contract.bundle import load
from service.contract.errors import NoSuchVersion, NotReady
from service.engine.served import Served, open_served
from service.engine.swap.versions import MOST_RECENT_BYTES, open_versions
from service.engine.verdict import Verdict
from service.metrics import Metrics
from service.settings import Settings
from tests.kit.fakes import LABELS, RED, SIZE_PX, FakeEnsemble, encoded, make_bundle, picture

RED_PNG = encoded(picture(RED), "PNG")


@pytest.fixture
def swappable(tmp_path: Path, settings: Settings) -> Settings:
    for version in ("1", "2"):
        make_bundle(tmp_path / version, version=version)
    return settings.model_copy(update={"bundle": tmp_path / "1", "bundles": tmp_path, "swap_chips": 3})


async def second(settings: Settings, metrics: Metrics) -> Served:
    assert settings.bundles
    return await open_served(load(settings.bundles / "2"), settings, metrics)


async def vote(served: Served) -> Verdict:
    with served.admission.reserve(1) as ticket:
        return await served.vote(ticket, RED_PNG)


def test_the_last_chips_of_what_answers_are_kept_and_no_more(swappable: Settings) -> None:
    async def scenario() -> None:
        metrics = Metrics()
        versions = await open_versions(swappable, metrics)
        for _ in range(5):
            await vote(versions.current)
        assert len(versions.recent()) == 3
        chip_HWC, answer = versions.recent()[0]
        assert chip_HWC.shape == (SIZE_PX, SIZE_PX, 3)
        assert answer.predicted == [True, False, False, False]
        versions.switch(await second(swappable, metrics))
        before = versions.recent()
        await vote(versions.of("1"))  # the other's answers are not what is served
        assert versions.recent() == before
        await versions.close()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("changes", "kept"), [({"bundles": None}, 0), ({"swap_chips": 0}, 0), ({"swap_chips": 10_000}, 20)]
)
def test_chips_are_kept_within_bounds(
    swappable: Settings, changes: dict[str, int | None], kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chip_bytes = SIZE_PX**2 * 3
    assert MOST_RECENT_BYTES == 1 << 26
    monkeypatch.setattr("service.engine.swap.versions.MOST_RECENT_BYTES", 20 * chip_bytes)

    async def scenario() -> None:
        versions = await open_versions(swappable.model_copy(update=changes), Metrics())
        for _ in range(25):
            await vote(versions.current)
        assert len(versions.recent()) == kept
        await versions.close()

    asyncio.run(scenario())


def test_what_was_dropped_is_out_of_memory_at_once(swappable: Settings) -> None:
    async def scenario() -> None:
        metrics = Metrics()
        versions = await open_versions(swappable, metrics)
        versions.switch(await second(swappable, metrics))
        assert versions.other
        await vote(versions.other)
        gone = weakref.ref(versions.other.ensemble)
        await versions.drop_other()
        assert gone() is None  # no circle that Python would find late
        with pytest.raises(NoSuchVersion):
            versions.of("1")
        await versions.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("deadline_s", [60, 0], ids=["in time", "whenever"])
def test_what_is_dropped_answers_first_what_it_accepted(
    swappable: Settings, monkeypatch: pytest.MonkeyPatch, deadline_s: float
) -> None:
    settings = swappable.model_copy(update={"deadline_s": deadline_s})
    fake = FakeEnsemble(len(LABELS))
    monkeypatch.setattr("service.engine.served.open_ensemble", lambda *_: fake)

    async def scenario() -> None:
        metrics = Metrics()
        versions = await open_versions(settings, metrics)
        fake.gate.clear()
        asked = asyncio.create_task(vote(versions.current))
        while not fake.entered.is_set():
            await asyncio.sleep(0.005)
        versions.switch(await second(settings, metrics))
        dropping = asyncio.create_task(versions.drop_other())
        await asyncio.sleep(0.05)
        assert not dropping.done()
        fake.gate.set()
        await dropping
        assert (await asked).probabilities == [RED[0]] * len(LABELS)
        await versions.close()

    asyncio.run(scenario())


def test_what_is_dropped_is_not_waited_for_without_end(swappable: Settings) -> None:
    brief = swappable.model_copy(update={"deadline_s": 0.2})

    async def scenario() -> None:
        metrics = Metrics()
        versions = await open_versions(brief, metrics)
        with versions.current.admission.reserve(1000) as scene:  # whose client takes its time
            versions.switch(await second(brief, metrics))
            dropping = asyncio.create_task(versions.drop_other())
            while not dropping.done():
                try:
                    scene.check()
                except NotReady as ended:
                    assert "version 1 is not loaded any more" in str(ended)
                    break
                await asyncio.sleep(0.01)
            assert not dropping.done()
        await dropping
        await versions.close()

    asyncio.run(scenario())


def test_a_stuck_bundle_ends_the_process_only_if_it_answers(
    swappable: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    fakes = [FakeEnsemble(len(LABELS)) for _ in range(2)]
    opened = iter(fakes)
    monkeypatch.setattr("service.engine.served.open_ensemble", lambda *_: next(opened))
    impatient = swappable.model_copy(update={"watchdog_s": 2})

    async def scenario() -> None:
        metrics = Metrics()
        versions = await open_versions(impatient, metrics)
        candidate = await second(impatient, metrics)
        versions.try_unseen(candidate, 1)
        fakes[1].gate.clear()
        await vote(versions.current)
        async with asyncio.timeout(120):
            while versions.other:
                await asyncio.sleep(0.01)
        assert not versions.stuck.is_set()
        assert versions.shadow is None
        await vote(versions.current)
        fakes[0].gate.clear()
        with pytest.raises(Exception, match="stuck"):
            await vote(versions.current)
        assert versions.stuck.is_set()
        for fake, served in zip(fakes, (versions.current, candidate), strict=True):
            fake.gate.set()
            await served.engine.stop()

    asyncio.run(scenario())
