"""What a server goes through: too much work, slow clients, SIGTERM, clients that go, neighbours.

Every trial takes a server that runs and returns figures by name. The server computes on a device
of known speed (`timed`), whose count tells what was computed for whom.
"""

import asyncio
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from benchmarks.harness.crowd import (
    OK,
    Asked,
    Looks,
    Tally,
    Target,
    arriving,
    ask,
    bystander,
    come_again,
    p99,
    until_served,
)
from benchmarks.harness.rude import Kind, be
from benchmarks.harness.servers import Running, family

PATIENCE_S = 10
LONE = 4
SLOW_CLIENTS, SILENT = 10, 400
SLOW_WAYS = ("silent", "head, 1 B/s", "body, 1 B/s", "body stalls")
MB = 1 << 20
HEADER_CLIENTS, HEADER_MB = 8, 32

Figures = dict[str, Any]


async def closed_loop(started: Running, target: Target, clients: int, seconds: float) -> Figures:
    """Let clients come again and again."""
    tally, before_s = Tally(), started.cpu_s()
    with bystander(started) as watching:
        until_s = time.monotonic() + seconds
        tasks = await arriving(come_again(target, tally, PATIENCE_S) for _ in range(clients))
        await asyncio.sleep(until_s - time.monotonic())
        watching.send(True)
        cpu_s = started.cpu_s() - before_s
        await _end(tasks)
        looks = await asyncio.to_thread(watching.recv)
    return _load(tally, looks, seconds, cpu_s)


async def open_loop(started: Running, target: Target, per_s: float, seconds: float) -> Figures:
    """Send at a rate, at random times, whatever comes of it."""
    tally, tasks = Tally(), set[asyncio.Task[None]]()
    before_s = started.cpu_s()

    async def one() -> None:
        tally.add(await ask(target, PATIENCE_S))

    with bystander(started) as watching:
        until_s = time.monotonic() + seconds
        next_s = time.monotonic()
        while next_s < until_s:
            await asyncio.sleep(max(0, next_s - time.monotonic()))
            task = asyncio.create_task(one())
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            next_s += random.expovariate(per_s)
        watching.send(True)
        cpu_s = started.cpu_s() - before_s
        tally.outcomes["still waiting"] = len(tasks)
        await _end(tasks)
        looks = await asyncio.to_thread(watching.recv)
    return _load(tally, looks, seconds, cpu_s)


def _load(tally: Tally, looks: Looks, seconds: float, cpu_s: float) -> Figures:
    return {
        "outcomes": dict(sorted(tally.outcomes.items())),
        "cpu_ms": 1000 * cpu_s / max(1, tally.outcomes.total()),
        "answers_per_s": tally.outcomes[OK] / seconds,
        "p50_s": median(tally.answered_s) if tally.answered_s else None,
        "p99_s": p99(tally.answered_s),
        "retry_after_s": median(tally.told_s) if tally.told_s else None,
        "came_again": tally.came_again,
        "let_in": tally.let_in,
        "health_p99_ms": 1000 * (p99(looks.health_s) or 0),
        "health_checks": len(looks.health_s),
        "unhealthy": looks.unhealthy,
        "memory_mb": looks.memory_mb[0],
        "growth_mb": max(looks.memory_mb) - looks.memory_mb[0],
    }


async def _end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    ending = list(tasks)
    for task in ending:
        task.cancel()
    await asyncio.gather(*ending, return_exceptions=True)


def slow_kinds(target: Target) -> list[Kind]:
    """Return the ways of being slow."""
    head = target.head(MB)
    return [
        Kind(SLOW_WAYS[0], SLOW_CLIENTS, b""),
        Kind(SLOW_WAYS[1], SLOW_CLIENTS, head[:-4] + b"\r\nX-Slow: ", b"a", 1),
        Kind(SLOW_WAYS[2], SLOW_CLIENTS, head, b"a", 1),
        Kind(SLOW_WAYS[3], SLOW_CLIENTS, head + bytes(50_000)),
    ]


async def slow(target: Target, most_s: float) -> Figures:
    """Be slow in every way at once, watched so long; then keep many connections silent, and ask."""
    address = ("127.0.0.1", target.port)
    kinds = slow_kinds(target)
    ends = await asyncio.gather(*(be(kind, address, 0, most_s) for kind in kinds))
    figures: Figures = {
        kind.name: {"longest_s": ended.longest_s, "ends": dict(ended.answers)}
        for kind, ended in zip(kinds, ends, strict=True)
    }
    silence = asyncio.create_task(be(Kind("silent", SILENT, b""), address, 0, 30))
    await asyncio.sleep(2)
    asked = [await ask(target, 5) for _ in range(5)]
    silence.cancel()
    await asyncio.gather(silence, return_exceptions=True)
    return {**figures, "beside_silent": dict(Counter(one.outcome for one in asked))}


async def endless_header(started: Running, target: Target) -> Figures:
    """Send header lines without end, up to a bound; tell what the server took and kept of them."""
    taken = 0

    async def send() -> None:
        nonlocal taken
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", target.port)
            writer.write(target.head(MB)[:-4] + b"\r\nX-Endless: ")
            for _ in range(HEADER_MB * 16):
                writer.write(bytes(b"a" * (MB // 16)))
                await writer.drain()
                taken += MB // 16
            await reader.read(1)
        except OSError:
            pass

    before_mb = started.memory_mb()
    tasks = [asyncio.create_task(send()) for _ in range(HEADER_CLIENTS)]
    peak_mb, until_s = before_mb, time.monotonic() + 6
    while time.monotonic() < until_s:
        await asyncio.wait(tasks, timeout=0.3)
        peak_mb = max(peak_mb, await asyncio.to_thread(started.memory_mb))
    await _end(tasks)
    return {"header_taken_mb": taken / MB, "header_growth_mb": peak_mb - before_mb}


async def terminated(
    started: Running, target: Target, waiting: int, wait_s: float, pause_s: float = 0.2
) -> Figures:
    """Send SIGTERM to the process that was started, while so many requests wait."""
    tasks = await arriving((ask(target, wait_s) for _ in range(waiting)), 0.3)
    await asyncio.sleep(pause_s)  # for those that are answered at once
    before = [task.result().outcome for task in tasks if task.done()]
    waited_on = [task for task in tasks if not task.done()]
    members = family(started.process.pid)
    began_s = time.monotonic()
    os.kill(started.process.pid, signal.SIGTERM)
    status = await asyncio.to_thread(_exit_status, started, wait_s)
    exit_s = time.monotonic() - began_s
    await asyncio.sleep(0.5)  # what watches over others ends last
    left = sum(map(_alive, members))
    asked: list[Asked] = await asyncio.gather(*waited_on)
    return {
        "before": dict(Counter(before)),
        "outcomes": dict(Counter(one.outcome for one in asked)),
        "exit_status": status,
        "exit_s": exit_s if status is not None else None,
        "left_behind": left,
    }


def _exit_status(started: Running, wait_s: float) -> int | None:
    with suppress(subprocess.TimeoutExpired):
        return started.process.wait(wait_s)
    return None


def _alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


async def gone(target: Target, counted: Path, clients: int) -> Figures:
    """Let clients ask and hang up; tell how many chips were computed for nobody."""
    first = _computed(counted)
    tasks = [asyncio.create_task(ask(target, PATIENCE_S)) for _ in range(clients)]
    while _computed(counted) < first + 2 and not all(task.done() for task in tasks):
        await asyncio.sleep(0.01)
    left = sum(not task.done() for task in tasks)
    await _end(tasks)
    at_leaving = _computed(counted)
    last, still = at_leaving, 0
    while still < 10:
        await asyncio.sleep(0.2)
        still = still + 1 if _computed(counted) == last else 0
        last = _computed(counted)
    return {"left": left, "computed_for_nobody": last - at_leaving}


def _computed(counted: Path) -> int:
    return counted.stat().st_size if counted.exists() else 0


async def beside(target: Target, neighbours: Sequence[tuple[Target, str]], seconds: float) -> Figures:
    """Ask for lone chips, first without neighbours, then with those, each from an address.

    A lone client who is refused comes again, and counts from when it first asked.
    """
    alone_s, _ = await _lone(target, 4)
    tasks = await arriving(come_again(asked, Tally(), 60, source) for asked, source in neighbours)
    await asyncio.sleep(2)
    beside_s, unserved = await _lone(target, seconds)
    await _end(tasks)
    return {
        "alone_p99_s": p99(alone_s),
        "served": len(beside_s),
        "unserved": unserved,
        "beside_p50_s": median(beside_s) if beside_s else None,
        "beside_p99_s": p99(beside_s),
    }


async def _lone(target: Target, seconds: float) -> tuple[list[float], int]:
    """Return how long chips took, and how many clients had none even in twice the time."""
    served_s: list[float] = []
    until_s = time.monotonic() + seconds

    async def one() -> None:
        while time.monotonic() < until_s:
            served_s.append(await until_served(target, 60))

    tasks = [asyncio.create_task(one()) for _ in range(LONE)]
    await asyncio.wait(tasks, timeout=2 * seconds)
    unserved = sum(not task.done() for task in tasks)
    await _end(tasks)
    return served_s, unserved
