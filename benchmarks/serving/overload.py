"""What happens at ten times of what the service can answer?

    python -m benchmarks.serving.overload [FOLDER] [--seconds S] [--places P] [--deadline S]
                                          [--free] [--one-address]

Single chips, in two ways, each for so long: in a closed loop, ten times as many clients as there
are places; and in an open one, where clients come at ten times the rate that was answered before,
whatever comes of it. Whoever is refused comes again when Retry-After says so. Tables tell how each
request ended, how long those that were answered took, how far Retry-After was from the time after
which a refused client was let in (median of |told − real| ÷ real), how long the health checks took
meanwhile, how much of that the event loop's thread computed (Linux), and the memory. The first line
is the idle service: what the checks themselves and the machine's other work cost.

The clients are a process of their own, which yields to the service and to the checks where they
share processors (niceness, and the session's own under Linux' autogroups): it stands for other
machines. Each client has an address of its own in 127.0.0.0/8, unless they all are to have one.
"""

import argparse
import asyncio
import multiprocessing
import os
import random
import socket
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median, quantiles

import httpx2

from benchmarks.harness.bundles import free_bundle, opened
from benchmarks.harness.chips import photo
from benchmarks.harness.contenders import ours
from benchmarks.harness.servers import ROOT, Running, loop_ms, running, stop_cleanly

TIMES = 10
NICENESS, IDLE_S = 10, 5.0
CHECKS = ("/health/live", "/health/ready", "/metrics")


@dataclass
class Seen:
    """What came of one load."""

    statuses: Counter[str] = field(default_factory=Counter)
    answered_s: list[float] = field(default_factory=list)
    off: list[float] = field(default_factory=list)  # |Retry-After − real wait| ÷ real wait
    checks_ms: list[float] = field(default_factory=list)
    loop_ms: list[float] = field(default_factory=list)  # of processor time, during each check


class Load:
    """Clients of one service."""

    def __init__(self, port: int, path: str, chip: bytes, *, one_address: bool) -> None:
        self._port = port
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: image/jpeg\r\n"
        self._request = f"{head}Content-Length: {len(chip)}\r\n\r\n".encode() + chip
        self._one_address, self._numbers = one_address, count(1 << 16)  # from 127.1.0.0 on
        self.seen = Seen()

    def _address(self) -> str:
        number = next(self._numbers)
        return "127.0.0.1" if self._one_address else f"127.{number >> 16}.{number >> 8 & 255}.{number & 255}"

    async def _ask(self, address: str) -> float | None:
        """Send a chip; return how many seconds to wait if it is refused."""
        began_s = time.perf_counter()
        try:
            answer = await asked(self._port, address, self._request)
            status = answer.split(None, 2)[1].decode()
        except (OSError, IndexError) as error:  # no connection, or one that ended without a byte
            self.seen.statuses[f"lost ({type(error).__name__})"] += 1
            return None
        self.seen.statuses[status] += 1
        if status == "200":
            self.seen.answered_s.append(time.perf_counter() - began_s)
        if status != "503":
            return None
        return float(answer.partition(b"retry-after: ")[2].split(b"\r\n")[0])

    async def _get_in(self, address: str, until_s: float) -> None:
        """Come again until a chip is taken."""
        told_s, refused_s = 0.0, time.monotonic()
        while (now_s := time.monotonic()) < until_s:
            wait_s = await self._ask(address)
            if wait_s is None:
                if told_s:
                    real_s = max(1.0, now_s - refused_s)  # a second is the least that can be told
                    self.seen.off.append(abs(told_s - real_s) / real_s)
                return
            if not told_s:
                refused_s, told_s = time.monotonic(), wait_s
            await asyncio.sleep(min(wait_s, max(0.0, until_s - time.monotonic())))

    async def nothing(self) -> None:
        """Let nobody come."""
        await asyncio.sleep(IDLE_S)

    async def closed(self, clients: int, until_s: float) -> None:
        """Let clients come again and again."""

        async def client() -> None:
            address = self._address()
            while time.monotonic() < until_s:
                await self._get_in(address, until_s)

        async with asyncio.TaskGroup() as group:
            for _ in range(clients):
                group.create_task(client())

    async def open(self, per_s: float, until_s: float) -> None:
        """Let new clients come at a rate, at random times."""
        async with asyncio.TaskGroup() as group:
            next_s = time.monotonic()
            while next_s < until_s:
                group.create_task(self._get_in(self._address(), until_s))
                next_s += random.expovariate(per_s)
                await asyncio.sleep(max(0.0, next_s - time.monotonic()))


async def asked(port: int, address: str, request: bytes) -> bytes:
    """Return what is answered to a request that is sent as soon as there is a connection.

    What these clients compute must not come between the two: they are too many for one process,
    and who connects and then says nothing gives way to others.
    """
    loop = asyncio.get_running_loop()
    with socket.socket() as wire:
        wire.setblocking(False)
        wire.bind((address, 0))
        with suppress(BlockingIOError):
            wire.connect(("127.0.0.1", port))
        await loop.sock_sendall(wire, request)
        pieces = []
        while piece := await loop.sock_recv(wire, 1 << 16):
            pieces.append(piece)
        return b"".join(pieces)


def be_others(load: Load, work: Callable[[Load], Awaitable[None]], wire: Connection) -> None:
    """Be the clients, which stand for other machines, and tell what they saw."""
    os.setsid()
    os.nice(NICENESS)
    with suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(NICENESS), encoding="ascii")
    asyncio.run(work(load))  # type: ignore[arg-type]
    wire.send(load.seen)


def under(load: Load, work: Callable[[Load], Awaitable[None]], started: Running) -> Seen:
    """Have clients work, and look at the service's health meanwhile."""
    ours_end, its_end = multiprocessing.Pipe()
    clients = multiprocessing.get_context("fork").Process(
        target=be_others, args=(load, work, its_end), daemon=True
    )
    clients.start()
    checks_ms: list[float] = []
    loops_ms: list[float] = []
    pid = started.process.pid
    with httpx2.Client(base_url=started.address, timeout=60) as http:
        while not ours_end.poll(0.2):
            for path in CHECKS:
                began_s, began_loop_ms = time.perf_counter(), loop_ms(pid)
                http.get(path)
                checks_ms.append(1000 * (time.perf_counter() - began_s))
                loops_ms.append(loop_ms(pid) - began_loop_ms)
    seen: Seen = ours_end.recv()
    clients.join()
    seen.checks_ms, seen.loop_ms = checks_ms, loops_ms
    return seen


def p99(values: list[float]) -> float:
    """Return the 99th percentile."""
    return quantiles(values, n=100, method="inclusive")[98] if len(values) > 1 else float("nan")


def print_row(name: str, seen: Seen, seconds: float, memory_mb: float) -> None:
    """Print one line of the table."""
    statuses = ", ".join(f"{count} × {status}" for status, count in sorted(seen.statuses.items()))
    off = f"{median(seen.off):7.0%}" if seen.off else "       "
    print(
        f"{name:8} {seen.statuses['200'] / seconds:8.1f} {p99(seen.answered_s):11.2f} {off} "
        f"{p99(seen.checks_ms):12.1f} {p99(seen.loop_ms):9.1f} {memory_mb:10.0f}   {statuses}",
        flush=True,
    )


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("bundle", nargs="?", default=str(ROOT / "models" / "uc-merced"), metavar="FOLDER")
    parser.add_argument("--seconds", type=float, default=300, help="of each load")
    parser.add_argument("--places", type=int, default=64)
    parser.add_argument("--deadline", type=float, default=60)
    parser.add_argument("--free", action="store_true", help="serve a bundle that costs next to nothing")
    parser.add_argument("--one-address", action="store_true", help="of all clients: 127.0.0.1")
    arguments = parser.parse_args()
    stop_cleanly()
    chip = photo(0)
    environment = {
        "CHIPVOTE_QUEUE_SIZE": str(arguments.places),
        "CHIPVOTE_DEADLINE_S": str(arguments.deadline),
    }
    with tempfile.TemporaryDirectory() as name:
        folder = str(free_bundle(Path(name) / "bundle").folder) if arguments.free else arguments.bundle
        bundle, precision = opened(folder)
        with running(ours(bundle.folder, precision, environment), []) as started:
            rate = 0.0
            load_of = partial(
                Load, started.port, started.server.path, chip, one_address=arguments.one_address
            )
            print("load     answers/s  p99, seconds  off   health p99, ms  of loop  memory, MB")
            idle = under(load_of(), Load.nothing, started)
            print_row("before", idle, IDLE_S, started.memory_mb())
            for loop in ("closed", "open"):
                until_s = time.monotonic() + arguments.seconds
                if loop == "closed":
                    work = partial(Load.closed, clients=TIMES * arguments.places, until_s=until_s)
                else:
                    work = partial(Load.open, per_s=TIMES * rate, until_s=until_s)
                seen = under(load_of(), work, started)
                rate = seen.statuses["200"] / arguments.seconds
                print_row(loop, seen, arguments.seconds, started.memory_mb())


if __name__ == "__main__":
    main()
