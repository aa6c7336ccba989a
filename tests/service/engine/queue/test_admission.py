import asyncio
from contextlib import ExitStack

import pytest

from service.contract.errors import (
    NotReady,
    Overloaded,
    TooManyChips,
)
from service.engine.queue.admission import Admission, Asker
from service.engine.queue.promises import LONGEST_S
from tests.kit.admission import VERDICT, Device, learn, opened, run, settled


def test_before_it_is_open_it_refuses() -> None:
    with pytest.raises(NotReady):
        Admission(1, 1).check()


def test_a_large_request_leaves_a_place_to_everybody() -> None:
    async def scenario() -> None:
        admission, device = opened(places=8, most_for_one=16), Device()
        with admission.reserve(50) as large:
            asked = device.ask(large, 50)
            await settled()
            assert large.on_way == 8
            with ExitStack() as stack:
                small = [stack.enter_context(admission.reserve(1)) for _ in range(5)]
                asked_small = [device.ask(ticket, 1) for ticket in small]
                await settled()
                assert [ticket.on_way for ticket in small] == [1] * 5
                device.answer(8)  # of the large one, which may now hold but three
                await settled()
                assert (large.on_way, large.left) == (3, 42)
                device.answer(5)
                await asyncio.gather(*asked_small)
            while large.left:
                device.answer()
                await settled()
                assert large.on_way <= 8
            assert await asked == [VERDICT] * 50

    run(scenario)


def test_large_requests_share_the_places() -> None:
    async def scenario() -> None:
        admission, device = opened(places=20, most_for_one=16), Device()
        with admission.reserve(40) as one, admission.reserve(40) as other:
            asked = device.ask(one, 40), device.ask(other, 40)
            await settled()
            assert (one.on_way, other.on_way, admission.on_way) == (10, 10, 20)
            while device.inside:
                device.answer(len(device.inside))
                await settled()
            await asyncio.gather(*asked)

    run(scenario)


def test_too_many_requests_are_asked_to_come_again_one_after_the_other() -> None:
    async def scenario() -> None:
        admission = opened(places=2)
        await learn(admission, 2)
        with admission.reserve(1), admission.reserve(500):
            waits = []
            for _ in range(9):
                with pytest.raises(Overloaded, match="2 requests are already waiting; send") as caught:
                    admission.check()
                waits.append(caught.value.retry_after_s)
            assert waits == list(range(1, 10))
            for _ in range(500):
                with pytest.raises(Overloaded) as caught:
                    admission.check()
            assert caught.value.retry_after_s == LONGEST_S
        admission.check()

    run(scenario)


def test_what_cannot_be_answered_in_time_is_refused_and_told_when_it_can() -> None:
    async def scenario() -> None:
        admission = opened()
        await learn(admission, 10)
        with admission.reserve(1), admission.reserve(1), admission.reserve(400):
            assert admission.expected_s(1) == pytest.approx(0.6)
            assert admission.expected_s(100) == pytest.approx(20.2)
            admission.check(1, deadline_s=2)
            with pytest.raises(Overloaded, match=r"would take about 2\d s, and is due in 12 s") as caught:
                admission.check(100, deadline_s=12)
            assert 25 <= caught.value.retry_after_s <= 40
            with pytest.raises(TooManyChips, match=r"100 chips take about \d+ s here.* due in 5 s"):
                admission.check(100, deadline_s=5)
        admission.check(1, deadline_s=0.001)  # an idle service takes whatever comes

    run(scenario)


def test_who_comes_when_told_finds_a_place_that_others_do_not_get() -> None:
    async def scenario() -> None:
        admission, early, late = opened(places=4), Asker(address="early"), Asker(address="late")
        await learn(admission, 20)
        with ExitStack() as stack:
            for _ in range(3):
                stack.enter_context(admission.reserve(1))
            with (
                admission.reserve(1),
                pytest.raises(Overloaded, match="send the request again in 1 s") as caught,
            ):
                admission.check(asker=early)
            with pytest.raises(Overloaded):
                admission.check(asker=late)  # a place is free, and is kept
            await asyncio.sleep(caught.value.retry_after_s)
            assert admission.check(asker=early)
            stack.enter_context(admission.reserve(1, asker=early))

    run(scenario)


def test_a_key_leaves_as_many_places_as_it_holds() -> None:
    async def scenario() -> None:
        admission, greedy, modest = opened(places=8), Asker("greedy"), Asker("modest")
        with ExitStack() as stack:
            for _ in range(4):
                stack.enter_context(admission.reserve(1, asker=greedy))
            with pytest.raises(Overloaded, match="4 requests of the key greedy are already waiting"):
                admission.reserve(1, asker=greedy)
            for _ in range(2):
                stack.enter_context(admission.reserve(1, asker=modest))
        for _ in range(3):
            admission.check(asker=greedy)

    run(scenario)


def test_chips_of_other_keys_count_as_often_as_it_is_their_turn() -> None:
    async def scenario() -> None:
        admission, asker = opened(), Asker("one")
        await learn(admission, 10)
        with ExitStack() as stack:
            for _ in range(20):
                stack.enter_context(admission.reserve(1, asker=Asker("another")))
            assert admission.expected_s(1, "one") == pytest.approx(0.2)
            assert admission.expected_s(1, "another") == pytest.approx(2.1)
            ticket = stack.enter_context(admission.reserve(1, 0.5, asker))
            assert ticket.line.client == "one"

    run(scenario)


def test_only_time_with_chips_on_their_way_is_work() -> None:
    async def scenario() -> None:
        admission, device = opened(), Device()
        with admission.reserve(100) as scene:  # which is cut, or taken, slowly
            for _ in range(5):
                await asyncio.sleep(0.1)
                asked = device.ask(scene, 1)
                await asyncio.sleep(0.001)
                device.answer()
                await asked
            assert admission.on_way == 0
        assert 1 / admission.expected_s() == pytest.approx(1000, rel=0.01)  # and not 10

    run(scenario)


def test_what_was_slow_once_is_not_too_much_for_ever() -> None:
    async def scenario() -> None:
        admission = Admission(100, 16, chips_per_s=100)
        admission.open()
        for _ in range(20):
            await learn(admission, 0.3)  # large files, each alone
        with admission.reserve(1), pytest.raises(TooManyChips):
            admission.check(100, 60)
        assert not admission.check(100, 60)  # idle, it finds out how long they take
        with pytest.raises(TooManyChips):
            admission.check(6100, 60)

    run(scenario)
