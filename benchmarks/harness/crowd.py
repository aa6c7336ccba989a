"""Clients without manners or with them, for any server: each request has a connection of its own.

A client here costs little, since it shares the machine with the server: it writes bytes that were
made before, and reads no more of an answer than status, `Retry-After` and length.
"""

import asyncio
import multiprocessing
import re
import time
from collections import Counter
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any, NamedTuple, TypeVar
from urllib.error import URLError
from urllib.request import urlopen

import numpy as np

from benchmarks.harness.servers import Running, family, pss_mb

HOST = "127.0.0.1"
T = TypeVar("T")
OK, LOST, GAVE_UP = "200", "lost", "gave up"
COME_AGAIN_S = 1.0  # who was refused without being told when to come again
LOOK_EVERY_S, HEALTH_S = 0.05, 10
ANSWERED_BY = re.compile(rb"HTTP/1\.1 (\d{3})")
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
RETRY_AFTER = re.compile(rb"\r\nretry-after: *(\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class Target:
    """What one server is asked, and where."""

    port: int
    path: str
    headers: dict[str, str]
    body: bytes

    @classmethod
    def of(cls, started: Running, body: bytes) -> "Target":
        """Ask a server that runs as it wants to be asked."""
        return cls(started.port, started.server.path, dict(started.server.headers), body)

    def head(self, size_bytes: int) -> bytes:
        """Return the head of a request whose body has so many bytes."""
        lines = [f"POST {self.path} HTTP/1.1", f"Host: {HOST}:{self.port}", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return "\r\n".join([*lines, f"Content-Length: {size_bytes}", "", ""]).encode()

    @property
    def request(self) -> bytes:
        """A whole request."""
        return self.head(len(self.body)) + self.body


class Asked(NamedTuple):
    """How one request ended."""

    outcome: str  # the status, or that there was none
    seconds: float
    told_s: float | None = None  # the answer's Retry-After


async def ask(target: Target, patience_s: float, source: str = "") -> Asked:
    """Send one request, from an address of the loopback's if one is named, and wait so long."""
    began_s, writer = time.perf_counter(), None
    outcome, told_s = LOST, None
    try:
        async with asyncio.timeout(patience_s):
            local = (source, 0) if source else None
            reader, writer = await asyncio.open_connection(HOST, target.port, local_addr=local)
            writer.write(target.request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = LENGTH.search(head)
            await (reader.readexactly(int(length[1])) if length else reader.read())
            status, told = ANSWERED_BY.match(head), RETRY_AFTER.search(head)
            outcome = status[1].decode() if status else LOST
            told_s = float(told[1]) if told else None
    except TimeoutError:
        outcome = GAVE_UP
    except (OSError, EOFError):
        pass
    finally:
        if writer:
            writer.transport.abort()
    return Asked(outcome, time.perf_counter() - began_s, told_s)


@dataclass
class Tally:
    """What came of many requests."""

    outcomes: Counter[str] = field(default_factory=Counter)
    answered_s: list[float] = field(default_factory=list)
    told_s: list[float] = field(default_factory=list)
    came_again: int = 0  # when told to
    let_in: int = 0  # of those

    def add(self, asked: Asked, before: Asked | None = None) -> None:
        """Count a request, and the one before it of the same client."""
        self.outcomes[asked.outcome] += 1
        if asked.outcome == OK:
            self.answered_s.append(asked.seconds)
        if asked.told_s is not None:
            self.told_s.append(asked.told_s)
        if before and before.told_s is not None:
            self.came_again += 1
            self.let_in += asked.outcome == OK


async def come_again(target: Target, tally: Tally, patience_s: float, source: str = "") -> None:
    """Be a client who asks again and again, after a refusal when told to; until cancelled."""
    before: Asked | None = None
    while True:
        asked = await ask(target, patience_s, source)
        tally.add(asked, before)
        before = asked
        if asked.outcome != OK:
            await asyncio.sleep(COME_AGAIN_S if asked.told_s is None else asked.told_s)


async def until_served(target: Target, patience_s: float) -> float:
    """Ask until there is a result, with pauses as above; return the seconds that it took."""
    began_s = time.perf_counter()
    while (asked := await ask(target, patience_s)).outcome != OK:
        await asyncio.sleep(COME_AGAIN_S if asked.told_s is None else asked.told_s)
    return time.perf_counter() - began_s


async def arriving(clients: Iterable[Coroutine[Any, Any, T]], over_s: float = 1) -> list[asyncio.Task[T]]:
    """Start clients over a while: a burst would be one worker's, of those that share a socket."""
    waiting = list(clients)
    tasks = []
    for client in waiting:
        tasks.append(asyncio.create_task(client))
        await asyncio.sleep(over_s / len(waiting))
    return tasks


def p99(values: Sequence[float]) -> float | None:
    """Return the 99th percentile, if there is any value."""
    return float(np.percentile(values, 99)) if values else None


class Looks(NamedTuple):
    """What a bystander saw."""

    health_s: list[float]
    unhealthy: int  # health checks without a 200
    memory_mb: list[float]  # once a second, of all the server's processes (PSS)


@contextmanager
def bystander(started: Running) -> Iterator[Connection]:
    """Have another process watch health and memory; it tells what it saw when sent anything."""
    here, there = multiprocessing.Pipe()
    address = f"{started.address}{started.server.ready}"
    watcher = multiprocessing.Process(target=_watch, args=(address, started.process.pid, there), daemon=True)
    watcher.start()
    try:
        yield here
    finally:
        watcher.terminate()
        watcher.join()


def _watch(address: str, leader: int, wire: Connection) -> None:
    looks, next_memory_s = Looks([], 0, []), 0.0
    while not wire.poll(LOOK_EVERY_S):
        if time.monotonic() > next_memory_s:
            looks.memory_mb.append(sum(map(pss_mb, family(leader))))
            next_memory_s = time.monotonic() + 1
        began_s, healthy = time.perf_counter(), False
        with suppress(OSError, URLError):
            urlopen(address, timeout=HEALTH_S).close()
            healthy = True
        looks.health_s.append(time.perf_counter() - began_s)
        looks = looks._replace(unhealthy=looks.unhealthy + (not healthy))
    wire.send(looks)
