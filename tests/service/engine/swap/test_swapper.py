import asyncio
from pathlib import Path

import pytest

from service.contract.errors import SwapRefused
from service.engine.swap import proof
from service.engine.swap.swapper import Swapper
from service.engine.swap.versions import open_versions
from service.metrics import Metrics
from service.settings import Settings
from tests.kit.swaps import make_versions


@pytest.fixture
def swappable(tmp_path: Path, settings: Settings) -> Settings:
    make_versions(tmp_path, "1", "2")
    return settings.model_copy(update={"bundle": tmp_path / "1", "bundles": tmp_path})


def test_each_step_is_told_while_it_is_under_way(
    swappable: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    async def scenario() -> None:
        metrics = Metrics()
        versions = await open_versions(swappable, metrics)
        swapper = Swapper(versions, swappable, metrics)
        assert swapper.told()["job"] is None
        swapper.begin("2")
        with pytest.raises(SwapRefused, match="under way"):
            swapper.begin("1")
        async with asyncio.timeout(60):
            while not seen or seen[-1] != "done":
                job = swapper.told()["job"]
                assert job
                if not seen or seen[-1] != job["step"]:
                    seen.append(job["step"])
                await asyncio.sleep(0.001)
        await swapper.close()
        await versions.close()

    asyncio.run(scenario())
    order = ["checking", "draining", "loading", "comparing", "done"]
    assert [step for step in order if step in seen] == seen
    assert seen[0] == "checking"


def test_what_is_unforeseen_is_refused_without_a_word_of_it(
    swappable: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr(proof, "check_memory", fail)

    async def scenario() -> None:
        metrics = Metrics()
        versions = await open_versions(swappable, metrics)
        swapper = Swapper(versions, swappable, metrics)
        swapper.begin("2")
        async with asyncio.timeout(60):
            while (job := swapper.told()["job"]) and job["step"] != "refused":
                await asyncio.sleep(0.01)
        assert job and job["detail"] == "the log says why"
        assert versions.current.version == "1"
        await swapper.close()
        await versions.close()

    asyncio.run(scenario())
    assert "a secret" in caplog.text


def test_an_end_amid_a_swap_is_an_end(swappable: Settings) -> None:
    async def scenario() -> None:
        metrics = Metrics()
        versions = await open_versions(swappable, metrics)
        swapper = Swapper(versions, swappable, metrics)
        swapper.begin("2")
        await asyncio.sleep(0.2)
        await swapper.close()
        await versions.close()

    asyncio.run(scenario())
