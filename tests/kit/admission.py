"""An admission, what answers its chips, and a clock that nobody waits for."""

import asyncio
from collections.abc import Awaitable, Callable

from service.engine.queue.admission import Admission
from service.engine.queue.ticket import Pending, Ticket
from service.engine.verdict import Verdict
from tests.kit.clock import Clock

VERDICT = Verdict([1.0], [1], [True], 1)


class Device:
    """Answers a chip when told to."""

    def __init__(self) -> None:
        self.inside: list[Pending] = []

    def answer(self, count: int = 1) -> None:
        for _ in range(count):
            answer = self.inside.pop(0)
            if not answer.done():
                answer.set_result(VERDICT)

    def ask(self, ticket: Ticket, chips: int) -> "asyncio.Future[list[Verdict | BaseException]]":
        asked = (ticket.vote(self.inside.append) for _ in range(chips))
        return asyncio.gather(*asked, return_exceptions=True)


def opened(places: int = 100, most_for_one: int = 16) -> Admission:
    admission = Admission(places, most_for_one)
    admission.open()
    return admission


async def learn(admission: Admission, chips_per_s: float) -> None:
    """Let an admission see a rate."""
    device = Device()
    with admission.reserve(1) as ticket:
        asked = device.ask(ticket, 1)
        await asyncio.sleep(1 / chips_per_s)
        device.answer()
        await asked


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(1000):
            await scenario()

    with asyncio.Runner(loop_factory=Clock) as runner:
        runner.run(bounded())


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)
