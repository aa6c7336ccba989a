import asyncio

from service.engine.stages import collected, of_chip, spans


def test_nobody_who_collects_none_has_any() -> None:
    assert of_chip() is None
    with collected() as chips:
        assert of_chip() is chips[0]
    assert of_chip() is None


def test_tasks_of_a_request_share_them_and_other_requests_do_not() -> None:
    async def chip() -> None:
        await asyncio.sleep(0)
        assert of_chip()

    async def request(count: int) -> int:
        with collected() as chips:
            await asyncio.gather(*(chip() for _ in range(count)))
            return len(chips)

    async def scenario() -> None:
        assert list(await asyncio.gather(request(2), request(3))) == [2, 3]

    asyncio.run(scenario())


def test_a_stage_lasts_from_its_first_chip_to_its_last() -> None:
    with collected() as chips:
        first, second, refused = of_chip(), of_chip(), of_chip()
    assert first and second and refused
    first.entered = [("decode", 1), ("queue", 2), ("engine", 3), ("", 4)]
    second.entered = [("decode", 2), ("queue", 3), ("engine", 5), ("", 7)]
    refused.entered = [("decode", 2)]
    assert spans(chips, 9) == {"decode": (1, 9), "queue": (2, 5), "engine": (3, 7)}
    refused.enter("queue")
    assert refused.entered[-1][0] == "queue"
