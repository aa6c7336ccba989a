"""Ten times as many clients as places, for minutes of a clock that nobody waits for."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from itertools import count
from statistics import median

import pytest

from service.contract.errors import Overloaded
from service.engine.queue.admission import Admission, Asker
from service.engine.queue.ticket import Pending
from service.engine.verdict import Verdict
from tests.kit.clock import Clock

PER_S, PLACES, TIMES, LASTS_S = 10.0, 32, 10, 200.0
VERDICT = Verdict([1.0], [1], [True], 1)


class Crowd:
    """A device with a fixed rate, and clients that come as they are told."""

    def __init__(self, *, one_address: bool) -> None:
        self.admission = Admission(PLACES, 16, PER_S)
        self.admission.open()
        self.random = random.Random(7)
        self.off: list[float] = []
        self.answered = 0
        self._waiting: asyncio.Queue[Pending] = asyncio.Queue()
        self._one_address, self._numbers = one_address, count()

    async def work(self) -> None:
        while True:
            answer = await self._waiting.get()
            await asyncio.sleep(self.random.uniform(0.5, 1.5) / PER_S)
            answer.set_result(VERDICT)
            self.answered += 1

    async def get_in(self, asker: Asker) -> None:
        """Come until a chip is taken."""
        now = asyncio.get_running_loop().time
        refused_s, told_s = now(), 0
        while True:
            await asyncio.sleep(self.random.uniform(0.001, 0.02))  # on the way
            try:
                ticket = self.admission.reserve(1, 60, asker)
            except Overloaded as error:
                told_s = told_s or error.retry_after_s
                await asyncio.sleep(error.retry_after_s)
                continue
            if told_s:
                self.off.append(abs(told_s - (now() - refused_s)) / (now() - refused_s))
            with ticket:
                await ticket.vote(self._waiting.put_nowait)
            return

    def asker(self) -> Asker:
        return Asker(address="all" if self._one_address else str(next(self._numbers)))

    async def closed(self) -> None:
        async def client(asker: Asker) -> None:
            while True:
                await self.get_in(asker)

        await asyncio.gather(*(client(self.asker()) for _ in range(TIMES * PLACES)))

    async def open(self) -> None:
        async with asyncio.TaskGroup() as group:
            while True:
                group.create_task(self.get_in(self.asker()))
                await asyncio.sleep(self.random.expovariate(TIMES * PER_S))


@pytest.mark.parametrize(
    ("load", "one_address"), [(Crowd.closed, False), (Crowd.closed, True), (Crowd.open, False)]
)
def test_retry_after_is_when_there_is_a_place_and_no_time_is_lost(
    load: Callable[[Crowd], Coroutine[None, None, None]], one_address: bool
) -> None:
    async def scenario() -> Crowd:
        crowd = Crowd(one_address=one_address)
        tasks = [asyncio.create_task(crowd.work()), asyncio.create_task(load(crowd))]
        await asyncio.sleep(LASTS_S)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return crowd

    with asyncio.Runner(loop_factory=Clock) as runner:
        crowd = runner.run(scenario())
    assert len(crowd.off) > 200
    assert median(crowd.off) < 0.3
    assert crowd.answered > 0.95 * PER_S * LASTS_S
