"""One request's chips, by an admission on a clock that nobody waits for."""

import asyncio

import pytest

from service.contract.errors import (
    ClientGone,
    DeadlinePassed,
    NotReady,
    ServiceError,
)
from tests.kit.admission import VERDICT, Device, opened, run, settled


def test_chips_that_do_not_come_are_no_wait_for_others() -> None:
    async def scenario() -> None:
        admission = opened()
        with admission.reserve(50) as ticket:
            assert ticket.left == 50
            ticket.skip()
            assert ticket.left == 49

    run(scenario)


def test_a_deadline_ends_only_what_is_late() -> None:
    async def scenario() -> None:
        admission, device = opened(most_for_one=2), Device()
        with admission.reserve(5, deadline_s=0.05) as ticket:
            asked = device.ask(ticket, 5)
            await settled()
            device.answer()
            answers = await asked
            ticket.check()
        assert answers[0] == VERDICT
        assert all(isinstance(answer, DeadlinePassed) for answer in answers[1:])
        assert all(answer.done() for answer in device.inside)  # so no thread takes them
        assert len(device.inside) == 2  # and the rest was never sent

    run(scenario)


@pytest.mark.parametrize("reason", [ClientGone("gone"), NotReady("stuck")])
def test_a_request_that_is_ended_is_ended_as_a_whole(reason: ServiceError) -> None:
    async def scenario() -> None:
        admission, device = opened(), Device()
        with admission.reserve(3) as ticket:
            asked = device.ask(ticket, 3)
            await settled()
            admission.abandon(reason)
            assert await asked == [reason] * 3
            with pytest.raises(type(reason)):
                ticket.check()
            with pytest.raises(type(reason)):
                await ticket.vote(device.inside.append)
        with pytest.raises(NotReady):
            admission.check()

    run(scenario)


def test_who_is_cancelled_gives_the_places_back() -> None:
    async def scenario() -> None:
        admission, device = opened(most_for_one=2), Device()
        with admission.reserve(4) as ticket:
            tasks = [asyncio.create_task(ticket.vote(device.inside.append)) for _ in range(4)]
            await settled()
            for task in (tasks[0], tasks[2]):
                task.cancel()
            await settled()
            assert (ticket.on_way, len(device.inside)) == (2, 3)
            device.answer(3)
            assert [await tasks[1], await tasks[3]] == [VERDICT] * 2
            assert ticket.on_way == 0
        await admission.close()

    run(scenario)


def test_a_chip_s_own_time_begins_when_it_has_a_place() -> None:
    async def scenario() -> None:
        admission, device = opened(places=2, most_for_one=1), Device()
        with admission.reserve(3) as ticket:
            asked = [asyncio.create_task(ticket.vote(device.inside.append, 1.0)) for _ in range(3)]
            for _ in range(2):
                await asyncio.sleep(0.9)
                device.answer()
            await asyncio.sleep(1.1)
            found = await asyncio.gather(*asked, return_exceptions=True)
        assert [isinstance(one, DeadlinePassed) for one in found] == [False, False, True]

    run(scenario)
