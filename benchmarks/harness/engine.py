"""How fast a running service of ours takes batches, by its own metrics."""

import re
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from time import perf_counter, sleep
from typing import NamedTuple

from benchmarks.harness.load import load
from benchmarks.harness.servers import Chip, Running

POLL_S = 0.1
ANSWERS = 2.5  # to each connection, or a slow device would have too few batches


class Batches(NamedTuple):
    """How many batches the engine has taken, and how many chips were in them."""

    taken: int
    chips: int

    def __sub__(self, before: "Batches") -> "Batches":
        """Return what came after `before`."""
        return Batches(self.taken - before.taken, self.chips - before.chips)

    @property
    def mean(self) -> float:
        """Chips in a batch."""
        return self.chips / max(1, self.taken)


def batches(started: Running) -> Batches:
    """Ask a running service of ours."""
    with urllib.request.urlopen(f"{started.address}/metrics", timeout=60) as answer:
        return parse_batches(answer.read().decode())


def parse_batches(text: str) -> Batches:
    """Read the service's metrics.

    Raises:
        RuntimeError: batches are not among them.
    """
    found = [re.search(rf"^chipvote_batch_chips_{name} (\S+)$", text, re.M) for name in ("count", "sum")]
    taken, chips = (float(match[1]) if match else -1 for match in found)
    if min(taken, chips) < 0:
        raise RuntimeError("the service's metrics have no chipvote_batch_chips")
    return Batches(int(taken), int(chips))


def steady(started: Running, bodies: Sequence[Chip], connections: int, seconds: float) -> dict[str, float]:
    """Load a running service of ours and return what it does once it is busy.

    A slow device has few batches in a load, and wrk counts only whole ones: the rate comes from the
    moments at which the engine took batches, after the first quarter of the time. Lasts longer than
    `seconds` where a device is so slow that these would be few.

    Returns:
        `p50_ms` and `p99_ms` of requests, `chips_per_s`, and `batch`, the chips in a mean batch.

    Raises:
        RuntimeError: a request failed, or there were too few batches to tell.
    """
    began_s = perf_counter()
    started.check(bodies[:1])
    seconds = max(seconds, ANSWERS * connections * (perf_counter() - began_s))
    seen: list[tuple[float, Batches]] = []
    files = [chip.file for chip in bodies]
    with ThreadPoolExecutor(1) as client:
        began_s = perf_counter()
        loading = client.submit(load, started.url, started.server.headers, files, connections, seconds)
        while not loading.done():
            seen.append((perf_counter() - began_s, batches(started)))
            sleep(POLL_S)
        found = loading.result()
    started.check(bodies[:1])  # waits behind what the load left unanswered
    chips_per_s, batch = pace([(when_s, taken) for when_s, taken in seen if seconds / 4 < when_s < seconds])
    return {"p50_ms": found.p50_ms, "p99_ms": found.p99_ms, "chips_per_s": chips_per_s, "batch": batch}


def pace(seen: Sequence[tuple[float, Batches]]) -> tuple[float, float]:
    """Return chips per second and chips per batch between the first and the last batch taken.

    Args:
        seen: moments in seconds, and what the engine had taken by then.

    Raises:
        RuntimeError: fewer than two batches were taken.
    """
    # A batch that is taken now is answered until the next one is: what counts was taken before.
    taken = [(when_s, before) for (_, before), (when_s, after) in pairwise(seen) if after != before]
    if len(taken) < 2:
        raise RuntimeError("the engine took fewer than two batches in the load; give it more --seconds")
    (began_s, first), (ended_s, last) = taken[0], taken[-1]
    done = last - first
    return done.chips / (ended_s - began_s), done.mean
