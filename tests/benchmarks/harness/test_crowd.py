"""Clients say rightly how a server treated them."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from benchmarks.harness.crowd import GAVE_UP, LOST, OK, Asked, Tally, Target, arriving, ask, p99, until_served

RESULT = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
REFUSAL = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 0\r\ncontent-length: 4\r\n\r\nbusy"
TARGET = Target(0, "/predict", {"Content-Type": "image/jpeg"}, b"chip")


@asynccontextmanager
async def answering(answers: Sequence[bytes | None]) -> AsyncIterator[Target]:
    """A server with an answer for each connection in turn; None keeps it waiting."""
    left, waiting = list(answers), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answer = left.pop(0)
        await reader.readuntil(b"chip")
        if answer is None:
            await waiting.wait()
        writer.write(answer or b"")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield replace(TARGET, port=server.sockets[0].getsockname()[1])
    finally:
        waiting.set()
        server.close()


@pytest.mark.parametrize(
    ("answer", "outcome", "told_s"),
    [
        (RESULT, OK, None),
        (REFUSAL, "503", 0),
        (REFUSAL.replace(b"retry-after: 0", b"Retry-After: 17"), "503", 17),
        (b"HTTP/1.1 200 OK\r\n\r\nall until the end", OK, None),
        (RESULT[:-1], LOST, None),
        (RESULT[:20], LOST, None),
        (b"", LOST, None),
        (None, GAVE_UP, None),
    ],
)
def test_a_request_ends_as_the_server_lets_it(
    answer: bytes | None, outcome: str, told_s: float | None
) -> None:
    async def one() -> Asked:
        async with answering([answer]) as target:
            return await ask(target, 30 if answer is not None else 0.2)

    asked = asyncio.run(one())
    assert (asked.outcome, asked.told_s) == (outcome, told_s)


def test_a_request_to_nobody_is_lost() -> None:
    async def one() -> Asked:
        async with answering([]) as target:
            pass
        return await ask(target, 30)

    assert asyncio.run(one()).outcome == LOST


def test_a_client_asks_until_it_has_a_result() -> None:
    async def one() -> None:
        async with answering([REFUSAL, REFUSAL, RESULT]) as target:
            await until_served(target, 30)
            assert (await ask(target, 30)).outcome == LOST, "it asked too seldom"

    asyncio.run(one())


def test_a_tally_tells_whether_retry_after_was_true() -> None:
    tally = Tally()
    told, result = Asked("503", 0.1, 4), Asked(OK, 2)
    for asked, before in [(told, None), (result, told), (told, result), (told, told), (Asked(LOST, 1), None)]:
        tally.add(asked, before)
    assert tally.outcomes == {"503": 3, OK: 1, LOST: 1}
    assert tally.told_s == [4, 4, 4]
    assert (tally.came_again, tally.let_in) == (2, 1)
    assert tally.answered_s == [2]


def test_clients_arrive_all() -> None:
    async def all_of_them() -> list[int]:
        return await asyncio.gather(*await arriving((asyncio.sleep(0, index) for index in range(5)), 0.01))

    assert asyncio.run(all_of_them()) == [0, 1, 2, 3, 4]


def test_the_99th_percentile() -> None:
    assert p99([]) is None
    assert p99([3]) == 3
    assert p99(range(101)) == 99
