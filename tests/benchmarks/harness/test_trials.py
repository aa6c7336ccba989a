"""Trials find the figures that a server was made to have."""

import asyncio
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.harness.crowd import Target
from benchmarks.harness.rude import be
from benchmarks.harness.servers import Server, running
from benchmarks.harness.trials import SLOW_WAYS, gone, slow_kinds, terminated

TARGET = Target(0, "/", {"Content-Type": "text/plain"}, b"chip")
# Answers two requests, and on SIGTERM those that wait: in turn by a result, a refusal and nothing.
SCRIPT = """
import asyncio, os, signal, sys
RESULT, REFUSAL = b"HTTP/1.1 200 OK", b"HTTP/1.1 503 Busy"
waiting = []
async def serve(reader, writer):
    if (await reader.readline()).startswith(b"GET"):
        return await answer(writer, RESULT)
    waiting.append(writer)
    if len(waiting) <= 2:
        await answer(writer, RESULT)
async def answer(writer, status):
    writer.write(status and status + b"\\r\\nContent-Length: 0\\r\\n\\r\\n")
    await writer.drain()
    writer.close()
async def main():
    await asyncio.start_server(serve, "127.0.0.1", int(os.environ["THE_PORT"]))
    ending = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ending.set)
    await ending.wait()
    for index, writer in enumerate(waiting[2:]):
        await answer(writer, (RESULT, REFUSAL, b"")[index % 3])
    sys.exit(7)
asyncio.run(main())
"""


def test_what_sigterm_does_to_those_who_wait() -> None:
    server = Server(
        name="ending",
        command=(sys.executable, "-c", SCRIPT),
        environment={},
        port="THE_PORT",
        path="/",
        headers={"Content-Type": "text/plain"},
        labels=lambda _: set(),
        ready="/",
    )
    with running(server, []) as started:
        figures = asyncio.run(terminated(started, replace(TARGET, port=started.port), 8, 60, pause_s=2))
    assert figures["before"] == {"200": 2}
    assert figures["outcomes"] == {"200": 2, "503": 2, "lost": 2}
    assert figures["exit_status"] == 7
    assert figures["left_behind"] == 0


@pytest.mark.parametrize("caring", [True, False])
def test_chips_computed_for_nobody_are_counted(caring: bool, tmp_path: Path) -> None:
    counted = tmp_path / "computed"

    async def trial() -> dict[str, int]:
        async def compute() -> None:
            while True:
                reader, writer = await queue.get()
                await asyncio.sleep(0.02)
                if not (caring and reader.at_eof()):
                    with counted.open("ab") as file:
                        file.write(b"0")
                writer.close()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"chip")
            await queue.put((reader, writer))

        queue = asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]]()
        computing = asyncio.create_task(compute())
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        figures = await gone(replace(TARGET, port=server.sockets[0].getsockname()[1]), counted, 12)
        computing.cancel()
        server.close()
        return figures

    figures = asyncio.run(trial())
    assert figures["left"] >= 8
    assert figures["computed_for_nobody"] <= 2 if caring else figures["computed_for_nobody"] >= 8


def test_slow_clients_are_slow_in_their_ways_and_tell_when_they_are_cut() -> None:
    async def cut_all() -> list[str]:
        async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        kinds = slow_kinds(replace(TARGET, port=address[1]))
        assert tuple(kind.name for kind in kinds) == SLOW_WAYS
        ends = await asyncio.gather(*(be(kind, address, 0, 30) for kind in kinds))
        server.close()
        return [end for ended in ends for end in ended.answers]

    assert set(asyncio.run(cut_all())) == {"cut"}
