"""Windows become lines in order, a bounded number at a time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

import numpy as np
import pytest

from service.client.schemas import Window
from service.contract.bundle import load
from service.contract.errors import WrongValues
from service.engine.served import Served, open_served
from service.metrics import Metrics
from service.scenes.errors import Skipped
from service.server.scenes.errors import LostScene
from service.server.scenes.reader import SceneReader, Seen
from service.server.scenes.rows import Rows
from service.settings import Settings
from tests.kit.fakes import LABELS, RED, SIZE_PX, FakeEnsemble, picture

CHIP_HWC = np.asarray(picture(RED))


class Scripted:
    """Stands for a reader: gives what a test says, and counts how much was asked for."""

    def __init__(self, *chips: Any) -> None:  # noqa: ANN401
        self.scene = {"windows": len(chips)}
        self.chips, self.asked, self.stopped = chips, 0, False

    async def windows(self) -> AsyncIterator[Seen]:
        for index, chip in enumerate(self.chips):
            self.asked += 1
            if isinstance(chip, LostScene):
                raise chip
            yield Seen(Window(column=index, row=0, width=SIZE_PX, height=SIZE_PX), None, chip)
            await asyncio.sleep(0)

    def stop(self) -> None:
        self.stopped = True


def run(
    settings: Settings,
    reader: Scripted,
    use: Callable[[Rows, Served], Awaitable[None]],
    within_s: float = 20,
    most: int = 4,
) -> int:
    """Use the rows; return how many windows the ticket still waits for."""

    async def scenario() -> int:
        served = await open_served(load(settings.bundle), settings, Metrics())
        try:
            with served.admission.reserve(len(reader.chips)) as ticket:
                read = cast(SceneReader, reader)
                rows = Rows(read, served, ticket, members=False, within_s=within_s, most=most)
                await use(rows, served)
                return ticket.left
        finally:
            await served.close()

    return asyncio.run(asyncio.wait_for(scenario(), 120))


async def lines_of(rows: Rows) -> list[Any]:
    return [line async for line in rows.lines()]


def test_each_window_has_its_line_in_order(settings: Settings) -> None:
    async def use(rows: Rows, served: Served) -> None:
        start, labelled, skipped, failed, last, done = await lines_of(rows)
        assert start["model"]["name"] == "colours"
        assert (labelled["labels"], labelled["window"]["column"]) == (["reddish"], 0)
        assert "filename" not in labelled
        assert (skipped["skipped"], skipped["window"]["column"]) == ("nodata", 1)
        assert (failed["error"]["status"], failed["window"]["column"]) == (422, 2)
        assert last["labels"] == ["reddish"]
        assert done == {"done": {"windows": 4, "labelled": 2, "skipped": 1, "failed": 1}}
        count = served.metrics.registry.get_sample_value
        assert count("chipvote_chips_total", {"outcome": "answered"}) == 2
        assert count("chipvote_refused_chips_total", {"reason": WrongValues.title}) == 1

    assert run(settings, Scripted(CHIP_HWC, Skipped("99 %"), WrongValues("NaN"), CHIP_HWC), use) == 0


def test_a_scene_that_is_lost_ends_with_its_error(settings: Settings) -> None:
    async def use(rows: Rows, _: Served) -> None:
        _start, labelled, last = await lines_of(rows)
        assert "labels" in labelled
        assert last["error"]["title"] == LostScene.title

    run(settings, Scripted(CHIP_HWC, LostScene("it crashed"), CHIP_HWC), use)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> FakeEnsemble:
    """What answers, once its gate is opened."""
    fake = FakeEnsemble(len(LABELS))
    monkeypatch.setattr("service.engine.served.open_ensemble", lambda *_: fake)
    return fake


def test_who_takes_no_lines_has_no_more_windows_read(settings: Settings) -> None:
    reader = Scripted(*[CHIP_HWC] * 50)

    async def use(rows: Rows, _: Served) -> None:
        lines = rows.lines()
        await anext(lines)
        await anext(lines)
        await asyncio.sleep(0.2)
        assert reader.asked <= 1 + 4 + 1
        await lines.aclose()

    run(settings, reader, use)


def test_a_window_has_its_own_time_and_the_others_go_on(settings: Settings, held: FakeEnsemble) -> None:
    held.gate.clear()

    async def use(rows: Rows, _: Served) -> None:
        lines = rows.lines()
        await anext(lines)
        late = cast(Any, await anext(lines))
        assert late["error"]["status"] == 504
        held.gate.set()
        rest = [cast(Any, line) async for line in lines]
        assert rest[-1]["done"]["windows"] == 12
        assert rest[-1]["done"]["labelled"] >= 7

    run(settings, Scripted(*[CHIP_HWC] * 12), use, within_s=2)


def test_who_goes_has_nothing_computed_any_more(settings: Settings, held: FakeEnsemble) -> None:
    held.gate.clear()
    reader = Scripted(*[CHIP_HWC] * 50)

    async def use(rows: Rows, served: Served) -> None:
        asyncio.get_running_loop().call_later(0.2, rows.give_up)
        _, last = await lines_of(rows)
        assert "error" in last
        assert reader.stopped and served.admission.on_way == 0
        held.gate.set()

    run(settings, reader, use)
    assert sum(held.batch_sizes) <= 4


def test_a_service_that_gets_stuck_ends_the_stream(settings: Settings, held: FakeEnsemble) -> None:
    held.gate.clear()

    async def use(rows: Rows, served: Served) -> None:
        asyncio.get_running_loop().call_later(0.2, served.abandon, "a test")
        _, last = await lines_of(rows)
        assert last["error"]["status"] == 503
        held.gate.set()

    run(settings, Scripted(*[CHIP_HWC] * 5), use)


def test_the_engine_s_failure_is_one_window_s(settings: Settings, held: FakeEnsemble) -> None:
    held.fail_next = RuntimeError("secret")

    async def use(rows: Rows, _: Served) -> None:
        _, *windows, done = await lines_of(rows)
        assert {line["error"]["status"] for line in windows if "error" in line} == {500}
        assert "secret" not in str(windows)
        assert done["done"]["failed"] >= 1

    run(settings, Scripted(*[CHIP_HWC] * 20), use)
