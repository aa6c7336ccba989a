"""What happens at ten times of what the service can answer?

    python -m benchmarks.serving.overload [FOLDER] [--seconds S] [--places P] [--deadline S]
                                          [--free]

Single chips, in two ways, each for so long: in a closed loop, ten times as many clients as there
are places, who come again when Retry-After says so; and in an open one, at ten times the rate that
was answered before, whatever comes of it. Tables tell how each request ended, how long those that
were answered took, how far Retry-After was from the time after which a refused client of the closed
loop was let in, how long the health checks took meanwhile, and the memory before and after.
"""

import argparse
import asyncio
import random
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles

import httpx2

from benchmarks.harness.bundles import free_bundle, opened
from benchmarks.harness.chips import photo
from benchmarks.harness.contenders import ours
from benchmarks.harness.servers import ROOT, Running, running, stop_cleanly

TIMES = 10
JPEG = {"Content-Type": "image/jpeg"}
CHECKS = ("/health/live", "/health/ready", "/metrics")


@dataclass
class Seen:
    """What came of one load."""

    statuses: Counter[str] = field(default_factory=Counter)
    answered_s: list[float] = field(default_factory=list)
    off: list[float] = field(default_factory=list)  # |Retry-After − real wait| ÷ real wait
    checks_s: list[float] = field(default_factory=list)


class Load:
    """Requests to one service."""

    def __init__(self, started: Running, chip: bytes) -> None:
        self._url, self._address, self._chip = started.url, started.address, chip
        self._http = httpx2.AsyncClient(timeout=300, limits=httpx2.Limits(max_connections=None))
        self.seen = Seen()

    async def ask(self) -> float | None:
        """Send a chip; return how many seconds to wait if it is refused."""
        began_s = time.perf_counter()
        try:
            response = await self._http.post(self._url, content=self._chip, headers=JPEG)
        except httpx2.TransportError:
            self.seen.statuses["lost"] += 1
            return None
        self.seen.statuses[str(response.status_code)] += 1
        if response.status_code == 200:
            self.seen.answered_s.append(time.perf_counter() - began_s)
        return float(response.headers["retry-after"]) if response.status_code == 503 else None

    async def come_again(self, until_s: float) -> None:
        """Be one client of the closed loop."""
        refused_s = told_s = 0.0
        while (now_s := time.monotonic()) < until_s:
            wait_s = await self.ask()
            if wait_s is None:
                if refused_s:
                    real_s = max(1.0, now_s - refused_s)  # a second is the least that can be told
                    self.seen.off.append(abs(told_s - real_s) / real_s)
                refused_s = 0.0
                continue
            if not refused_s:
                refused_s, told_s = now_s, wait_s
            await asyncio.sleep(min(wait_s, max(0.0, until_s - time.monotonic())))

    async def closed(self, clients: int, until_s: float) -> None:
        """Let clients come again."""
        async with asyncio.TaskGroup() as group:
            for _ in range(clients):
                group.create_task(self.come_again(until_s))

    async def open(self, per_s: float, until_s: float) -> None:
        """Send at a rate, at random times."""
        async with asyncio.TaskGroup() as group:
            while time.monotonic() < until_s:
                group.create_task(self.ask())
                await asyncio.sleep(random.expovariate(per_s))

    async def under(self, work: Callable[[], Awaitable[None]]) -> Seen:
        """Do work, and look at the service's health meanwhile."""

        async def look() -> None:
            async with httpx2.AsyncClient(timeout=60) as http:
                while True:
                    for path in CHECKS:
                        began_s = time.perf_counter()
                        await http.get(f"{self._address}{path}")
                        self.seen.checks_s.append(time.perf_counter() - began_s)
                    await asyncio.sleep(0.2)

        looking = asyncio.create_task(look())
        async with self._http:
            await work()
        looking.cancel()
        return self.seen


def p99(values: list[float]) -> float:
    """Return the 99th percentile."""
    return quantiles(values, n=100, method="inclusive")[98] if len(values) > 1 else float("nan")


def print_row(name: str, seen: Seen, seconds: float, memory_mb: float) -> None:
    """Print one line of the table."""
    statuses = ", ".join(f"{count} × {status}" for status, count in sorted(seen.statuses.items()))
    off = f"{median(seen.off):7.0%}" if seen.off else "       "
    print(
        f"{name:8} {seen.statuses['200'] / seconds:8.1f} {p99(seen.answered_s):11.2f} {off} "
        f"{1000 * p99(seen.checks_s):12.1f} {memory_mb:10.0f}   {statuses}",
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
            print("load     answers/s  p99, seconds  off   health p99, ms  memory, MB")
            print_row("before", Seen(), 1, started.memory_mb())
            for loop in ("closed", "open"):
                load = Load(started, chip)
                until_s = time.monotonic() + arguments.seconds
                if loop == "closed":
                    seen = asyncio.run(load.under(lambda: load.closed(TIMES * arguments.places, until_s)))  # noqa: B023
                    rate = seen.statuses["200"] / arguments.seconds
                else:
                    seen = asyncio.run(load.under(lambda: load.open(TIMES * rate, until_s)))  # noqa: B023
                print_row(loop, seen, arguments.seconds, started.memory_mb())


if __name__ == "__main__":
    main()
