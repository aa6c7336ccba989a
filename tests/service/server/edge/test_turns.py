import asyncio

import pytest

from service.server.edge.turns import MOST_S, Turns


def test_a_turn_of_the_loop_ends_after_a_while_and_addresses_take_turns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read: list[str] = []
    now_s = 0.0
    monkeypatch.setattr("service.server.edge.turns.perf_counter", lambda: now_s)

    def run_for(seconds: float) -> None:
        nonlocal now_s
        now_s += seconds

    async def scenario() -> None:
        turns = Turns()
        assert turns.now()
        assert turns.now()
        run_for(2 * MOST_S)
        assert not turns.now()  # too late in this turn of the loop

        def slowly(name: str) -> None:
            run_for(MOST_S)
            read.append(name)

        for index in range(50):
            turns.later(lambda index=index: slowly(f"many {index}"), "many")  # type: ignore[misc]
        turns.later(lambda: slowly("one"), "one")
        loops = 0
        while len(read) < 51:
            before = len(read)
            await asyncio.sleep(0)
            assert len(read) <= before + 1  # as much as there is time for
            loops += 1
        assert loops >= 51
        await asyncio.sleep(0)
        assert turns.now()

    asyncio.run(scenario())
    assert read.index("one") == 1
    assert [name for name in read if name != "one"] == [f"many {index}" for index in range(50)]


def test_what_raises_costs_its_own_turn_alone() -> None:
    read: list[int] = []
    told: list[object] = []

    async def scenario() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))
        turns = Turns()
        turns.later(lambda: read.append(1 // 0), "")
        turns.later(lambda: read.append(2), "")
        for _ in range(5):
            await asyncio.sleep(0)

    asyncio.run(scenario())
    assert read == [2]
    assert len(told) == 1
