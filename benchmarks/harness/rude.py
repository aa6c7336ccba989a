"""Clients that are slow or greedy: what they send, until a server cuts them.

Nothing here knows a server: a kind of client is bytes, a pause, and when it has enough.
"""

import asyncio
import socket
import time
from collections import Counter
from contextlib import suppress
from typing import Literal, NamedTuple


class Kind(NamedTuple):
    """One way of being slow or greedy: what is sent first, and then again and again."""

    name: str
    clients: int
    first: bytes
    then: bytes = b""
    pause_s: float = 0
    until: Literal["cut", "cut, unread", "answer", "connected"] = "cut"


class Ends(NamedTuple):
    """How one kind's clients ended."""

    longest_s: float
    answers: Counter[str]


async def be(kind: Kind, address: tuple[str, int], lasts_s: float, most_s: float) -> Ends:
    """Be all clients of a kind, which come back while it lasts, and wait so long to be cut."""
    until_s = time.monotonic() + lasts_s
    seconds, answers = [0.0], Counter[str]()

    async def client() -> None:
        while True:
            began_s = time.monotonic()
            try:
                answers[await asyncio.wait_for(_one(kind, address), most_s)] += 1
            except TimeoutError:
                answers["never cut"] += 1
            seconds.append(time.monotonic() - began_s)
            if time.monotonic() >= until_s:
                return

    await asyncio.gather(*(client() for _ in range(kind.clients)))
    return Ends(max(seconds), answers)


async def _one(kind: Kind, address: tuple[str, int]) -> str:
    """Send until the service closes; return the last answer's status."""
    head = b""
    try:
        wire = socket.socket()
        wire.setblocking(False)
        if kind.until == "cut, unread":
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # or the system would read for it
        await asyncio.get_running_loop().sock_connect(wire, address)
        reader, writer = await asyncio.open_connection(sock=wire, limit=1 << 12)
    except OSError:
        return "no connection"
    sending = asyncio.create_task(_send(kind, writer))
    try:
        if kind.until == "connected":
            return "connected"
        if kind.until == "cut, unread":
            with suppress(OSError):
                await sending
            return "cut"
        while piece := await reader.read(1 << 16):
            if b"HTTP/1.1 " in piece:
                head = piece[piece.rindex(b"HTTP/1.1 ") :]
            if kind.until == "answer":
                break
    except OSError:
        pass
    finally:
        sending.cancel()
        writer.transport.abort()
    return head.split()[1].decode() if head else "cut"


async def _send(kind: Kind, writer: asyncio.StreamWriter) -> None:
    writer.write(kind.first)
    await writer.drain()
    while kind.then:
        writer.write(kind.then)
        await writer.drain()
        await asyncio.sleep(kind.pause_s)
