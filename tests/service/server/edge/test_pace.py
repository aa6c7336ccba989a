import asyncio

import pytest
from starlette.types import Message

from service.server.edge.pace import Pace
from tests.kit.clock import Clock

STALL_S = 0.2


async def read(pauses_s: list[float], size_bytes: int) -> int:
    """Read pieces of a body that come after these pauses; return how many came in time."""
    pace = Pace(STALL_S, 1000)
    pauses = iter(pauses_s)
    pause_s: float | None = None

    async def receive() -> Message:
        nonlocal pause_s
        if pause_s is None:
            pause_s = next(pauses)
        until_s = asyncio.get_running_loop().time() + pause_s
        try:
            await asyncio.sleep(pause_s)
        except asyncio.CancelledError:
            pause_s = until_s - asyncio.get_running_loop().time()
            raise
        pause_s = None
        return {"type": "http.request"}

    for count in range(len(pauses_s)):
        try:
            await pace.next(receive)
        except TimeoutError:
            return count
        pace.count(size_bytes)
    return len(pauses_s)


@pytest.mark.parametrize(
    ("pauses_s", "size_bytes", "in_time"),
    [
        ([10], 50, 0),  # silence from the start
        ([0, 10], 10**9, 1),  # silence afterwards: what came before is no credit for more than a stretch
        ([0.02] * 20, 1, None),  # a byte now and then
        ([0.02] * 20, 200, 20),  # quick enough
        ([0.3], 1000, 0),  # the first is late
        ([0.02, 0.1, 10], 150, 2),  # half of what a stretch must bring
    ],
)
def test_each_stretch_must_bring_enough(pauses_s: list[float], size_bytes: int, in_time: int | None) -> None:
    with asyncio.Runner(loop_factory=Clock) as runner:
        count = runner.run(read(pauses_s, size_bytes))
    if in_time is None:
        assert 0 < count < 20
    else:
        assert count == in_time
