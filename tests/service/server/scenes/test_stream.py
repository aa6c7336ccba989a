import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from service.server.scenes.stream import Lines

Sent = list[dict[str, Any]]


async def numbers(most: int, then: asyncio.Event | None = None) -> AsyncGenerator[dict[str, int], None]:
    for number in range(most):
        yield {"number": number}
    if then:
        await then.wait()


def run(
    lines: AsyncGenerator[Any, None], sent: Sent, closed: list[int], cancel_after_s: float | None = None
) -> None:
    async def send(message: Any) -> None:  # noqa: ANN401
        sent.append(message)

    async def receive() -> Any:  # noqa: ANN401
        raise AssertionError

    async def scenario() -> None:
        held = AsyncExitStack()
        held.callback(closed.append, 1)
        task = asyncio.create_task(Lines(lines, held)({}, receive, send))
        if cancel_after_s is not None:
            await asyncio.sleep(cancel_after_s)
            task.cancel()
        await task

    asyncio.run(scenario())


def told(sent: Sent) -> list[Any]:
    return [json.loads(message["body"]) for message in sent if message.get("body")]


def test_each_line_goes_out_by_itself_and_what_is_held_is_closed() -> None:
    sent: Sent = []
    closed: list[int] = []
    run(numbers(3), sent, closed)
    assert told(sent) == [{"number": 0}, {"number": 1}, {"number": 2}]
    assert [message.get("more_body", False) for message in sent[1:]] == [True, True, True, False]
    headers = dict(sent[0]["headers"])
    assert headers[b"content-type"] == b"application/x-ndjson"
    assert b"content-length" not in headers
    assert closed == [1]


def test_a_server_that_stops_says_so_in_the_last_line() -> None:
    sent: Sent = []
    closed: list[int] = []
    run(numbers(1, asyncio.Event()), sent, closed, cancel_after_s=0.05)
    first, last = told(sent)
    assert first == {"number": 0}
    assert last["error"]["status"] == 503 and "stopped" in last["error"]["detail"]
    assert not sent[-1].get("more_body", False)
    assert closed == [1]


def test_what_is_held_is_closed_when_sending_fails() -> None:
    closed: list[int] = []

    class Broken(list[Any]):
        def append(self, _: object) -> None:
            raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        run(numbers(1), Broken(), closed)
    assert closed == [1]
