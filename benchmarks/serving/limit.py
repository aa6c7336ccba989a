"""How near is the service to what the device can do? A bare loop of ONNX Runtime is the measure.

    python -m benchmarks.serving.limit [FOLDER[:PRECISION]] [--rounds R] [--seconds S]
                                       [--early-exit]

The service decodes JPEGs, queues, votes and answers JSON over HTTP (wrk on the same machine is the
client); the bare loop runs the same members on decoded chips, eight at a time or as many as the
service took, and throws the probabilities away. Several bare loops run, the fastest is the measure.
Service and bare loops take turns in every round; the tables give medians.

1. chips/s, with one chip per request and with several
2. latency of one chip at a time, which should be at most 1.1 × the bare loop's + 2 ms
3. multiply-adds per second of every member, and which part that is of the peak that ONNX Runtime
   reaches on huge matrix products

`--early-exit` adds the service that stops asking members once they can change nothing. Every run's
figures go to `benchmarks/results/limit.json`. A round takes minutes on two slow cores.

Shape suffixes: B chips, H height, W width, C bands.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from statistics import median, quantiles
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from benchmarks.harness.arithmetic import Peak, multiply_adds
from benchmarks.harness.bare import BareLoop, ways
from benchmarks.harness.bundles import SHIPPED, described, opened
from benchmarks.harness.chips import forms, labelled, photo, taking_forms
from benchmarks.harness.comparison import Runs, machine, write
from benchmarks.harness.contenders import OURS, PYTHON, ours
from benchmarks.harness.engine import steady
from benchmarks.harness.load import require_wrk
from benchmarks.harness.servers import Chip, Running, running, stop_cleanly
from service.contract.chips.decode import decode_chip
from service.contract.manifest import Pixel
from service.contract.processors import processors

EARLY = "early exit"
CHIPS = 16
LEAST = 8  # chips of a bare batch, so that loops with several callers have something to share out
MOST_TIMES, MOST_MORE_MS = 1.1, 2.0


class Workload(NamedTuple):
    """How the service is asked."""

    connections: int
    chips: int  # per request


ALONE = Workload(1, 1)
# The last ones keep about as many chips on their way as the second, and the engine always busy.
BUSY = (Workload(16, 1), Workload(64, 1), Workload(16, 4), Workload(4, 16), Workload(2, 64))


class Limit:
    """What takes turns, and every figure so far."""

    def __init__(
        self, chips_BHWC: npt.NDArray[Pixel], bare: Sequence[BareLoop], peak: Peak, seconds: float
    ) -> None:
        self._chips_BHWC, self._bare, self._peak, self._seconds = chips_BHWC, bare, peak, seconds
        self.runs: Runs = []

    def round(
        self, number: int, servers: Sequence[Running], bodies: dict[int, list[Chip]], members: Sequence[str]
    ) -> None:
        """Let everything run once."""
        for workload in (ALONE, *BUSY):
            row = {"round": number, **workload._asdict()}
            for started in servers:
                print(f"round {number + 1}: {started.server.name}, {workload}", file=sys.stderr, flush=True)
                self.runs.append({**row, **self._served(started, workload, bodies[workload.chips])})
            batch = round(self.runs[-len(servers)]["batch"])  # what this service itself, the first, saw
            for loop in self._bare:
                self.runs.append(
                    {**row, "loop": loop.name, **self._looped(loop, workload, max(LEAST, batch))}
                )
        for index, member in enumerate(members):
            chips_BHWC = self._batch(CHIPS)
            rates = {loop.name: loop.rate(chips_BHWC, self._seconds / 16, [index]) for loop in self._bare}
            figures = {"peak_gmac_s": self._peak.gmac_s(), "chips_per_s": max(rates.values())}
            self.runs.append({"round": number, "member": member, "loop": max(rates, key=rates.__getitem__),
                              **rounded(figures)})  # fmt: skip

    def _served(self, started: Running, workload: Workload, bodies: list[Chip]) -> dict[str, Any]:
        if workload.chips > 1:
            started = started.asked_as(taking_forms(started.server))
        found = steady(started, bodies, workload.connections, self._seconds)
        return {"server": started.server.name, **rounded(found)}

    def _looped(self, loop: BareLoop, workload: Workload, batch: int) -> dict[str, Any]:
        if workload != ALONE:
            rate = loop.rate(self._batch(batch), self._seconds / 4)
            return rounded({"chips_per_s": rate, "batch": batch})
        found = loop.latencies_ms(self._chips_BHWC, self._seconds / 4)
        return rounded({"p50_ms": median(found), "p99_ms": quantiles(found, n=100)[98], "batch": 1})

    def _batch(self, size: int) -> npt.NDArray[Pixel]:
        return np.ascontiguousarray(np.resize(self._chips_BHWC, (size, *self._chips_BHWC.shape[1:])))


def rounded(figures: dict[str, float]) -> dict[str, float]:
    """Keep three decimals."""
    return {name: round(value, 3) for name, value in figures.items()}


def medians(runs: Runs, kind: str, figure: str, **fixed: object) -> dict[str, float]:
    """Return a figure's median over the rounds of each server, loop or member; `fixed` filters."""
    groups: dict[str, list[float]] = {}
    for run in runs:
        if kind in run and figure in run and all(run.get(key) == value for key, value in fixed.items()):
            groups.setdefault(run[kind], []).append(run[figure])
    return {name: median(values) for name, values in groups.items()}


def print_rates(runs: Runs) -> None:
    """Print what the service answers of the fastest bare loop's chips."""
    print(
        "connections  chips/request  mean batch  service chips/s  bare chips/s  fraction   fastest bare loop"
    )
    for workload in BUSY:
        fixed = workload._asdict()
        served, bare = (
            medians(runs, kind, "chips_per_s", **fixed, member=None) for kind in ("server", "loop")
        )
        batch = medians(runs, "server", "batch", **fixed)[OURS]
        best = max(bare, key=bare.__getitem__)
        for name, rate in served.items():
            print(
                f"{workload.connections:11} {workload.chips:14} {batch:11.1f} {rate:16.2f} "
                f"{bare[best]:13.2f} {rate / bare[best]:9.3f}   {best}" + f" ({name})" * (name != OURS)
            )


def print_latency(runs: Runs) -> None:
    """Print how much later than the bare loop's an answer comes."""
    fixed = ALONE._asdict()
    bare = medians(runs, "loop", "p50_ms", **fixed)
    best = min(bare, key=bare.__getitem__)
    target_ms = MOST_TIMES * bare[best] + MOST_MORE_MS
    print(f"\none chip at a time; bare loop: {bare[best]:.2f} ms ({best}); target: {target_ms:.2f} ms")
    print("server        p50 ms   p99 ms  p50 ÷ bare  p50 − bare, ms  target")
    p99 = medians(runs, "server", "p99_ms", **fixed)
    for name, p50 in medians(runs, "server", "p50_ms", **fixed).items():
        verdict = "met" if p50 <= target_ms else "missed"
        more_ms = p50 - bare[best]
        print(f"{name:12} {p50:7.2f} {p99[name]:8.2f} {p50 / bare[best]:11.3f} {more_ms:15.2f}  {verdict}")


def print_arithmetic(runs: Runs, counts: dict[str, int]) -> None:
    """Print which part of the machine's peak the members reach, alone and in the service."""
    peaks, rates = (medians(runs, "member", figure) for figure in ("peak_gmac_s", "chips_per_s"))
    peak = median(peaks.values())
    print(f"\nmultiply-adds; peak of huge matrix products: {peak:.0f} GMAC/s")
    print("member                    GMAC/chip  bare chips/s   GMAC/s  of peak")
    for name, count in counts.items():
        reached = rates[name] * count / 1e9
        print(f"{name:25} {count / 1e9:9.2f} {rates[name]:13.2f} {reached:8.1f} {reached / peak:8.1%}")
    whole = sum(counts.values()) / 1e9
    for workload in BUSY[:2]:
        rate = medians(runs, "server", "chips_per_s", **workload._asdict())[OURS]
        name = f"service, {workload.connections} connections"
        print(f"{name:25} {whole:9.2f} {rate:13.2f} {whole * rate:8.1f} {whole * rate / peak:8.1%}")


def parsed() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("bundle", nargs="?", default=SHIPPED, metavar="FOLDER[:PRECISION]")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=16, help="length of one load")
    parser.add_argument("--early-exit", action="store_true", help="serve with CHIPVOTE_EARLY_EXIT=true too")
    return parser.parse_args()


def main() -> None:
    """Print three tables."""
    arguments = parsed()
    require_wrk()
    stop_cleanly()
    bundle, precision = opened(arguments.bundle)
    if arguments.early_exit and not bundle.early_voter:
        sys.exit(f"{bundle.manifest.name}'s rule has no early exit; leave --early-exit out")
    members = bundle.manifest.members
    graphs = [bundle.graph_path(member, precision) for member in members]
    counts = {member.name: multiply_adds(graph) for member, graph in zip(members, graphs, strict=True)}
    jpegs = [photo(seed) for seed in range(CHIPS)]
    chips_BHWC = np.stack([decode_chip(jpeg, bundle.manifest.input) for jpeg in jpegs])
    server = ours(bundle.folder, precision, {})
    servers = [server]
    if arguments.early_exit:
        settings = {**server.environment, "CHIPVOTE_EARLY_EXIT": "true"}
        servers.append(replace(server, name=EARLY, environment=settings))
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        chips = labelled(bundle, precision, jpegs, folder)
        bodies = {size: forms(chips, size, folder) for size in (4, 16, 64)} | {1: chips}
        bare = [BareLoop(graphs, way) for way in ways(processors())]
        limit = Limit(chips_BHWC, bare, Peak(precision), arguments.seconds)
        started = [stack.enter_context(running(server, chips)) for server in servers]
        for number in range(arguments.rounds):
            limit.round(number, started, bodies, list(counts))
    facts = {
        "machine": machine(PYTHON),
        **described(bundle, precision),
        "multiply_adds": counts,
        "seconds": arguments.seconds,
    }
    write("limit", facts, limit.runs)
    print(f"{bundle.manifest.name} {bundle.manifest.version}, {precision}, {processors()} cores")
    print_rates(limit.runs)
    print_latency(limit.runs)
    print_arithmetic(limit.runs, counts)


if __name__ == "__main__":
    main()
