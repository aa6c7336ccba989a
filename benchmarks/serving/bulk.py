"""How near is `chipvote score` to what the machine can do, and what do workers, kills and peers do?

    python -m benchmarks.serving.bulk [FOLDER[:PRECISION]] [--only PART ...] [--chips N]
                                      [--rounds R] [--seconds S]

    limit    chips/s of `score` with one process, with two and with Ray, beside bare loops of ONNX
             Runtime on decoded chips, and beside loops around a DataLoader: PyTorch (as torchgeo's
             and Raster Vision's are) and ONNX Runtime. Everything takes turns in every round. All
             members run on each chip, also on copies.
    workers  a voter that sleeps in place of networks, in 1 to 4 processes, or actors of Ray
    kills    a bundle that costs nothing, 1 % broken files, the run and one of its processes killed
             at random moments: is there one row for each input?
    whole    the command as it is, with 1 % broken files

Rates are from the first answer to the last. Where others work on the same machine, the processor
time of a chip, of all processes together, says more than they do. The chips are those of UC Merced,
repeated. Figures go to `benchmarks/results/bulk.json`.

Shape suffixes: B chips, H height, W width, C bands.
"""

import argparse
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from statistics import median

import numpy as np
import onnxruntime as ort
import psutil
import pyarrow.parquet as pq
import ray

from benchmarks.harness.bare import BareLoop, ways
from benchmarks.harness.bulk import Meter, OpenSleeping, chip_list, measured, runtime_loop, scored, torch_loop
from benchmarks.harness.bundles import SHIPPED, described, free_bundle, opened
from benchmarks.harness.comparison import Runs, write
from benchmarks.harness.data import data_folder
from benchmarks.harness.servers import ROOT
from service.contract.bundle import Bundle
from service.contract.chips.decode import decode_chip
from service.contract.manifest import Precision
from service.contract.processors import processor_kind, processors
from service.offline.bulk.inputs import Item
from service.offline.bulk.pool import Pool
from service.offline.bulk.scoring import Job
from service.settings import Settings

PARTS = ("limit", "workers", "kills", "whole")
BROKEN = 100  # every so many chips one is
CHIP_S, WORKERS = 0.01, (1, 2, 3, 4)
BARE_CHIPS = 16


def limit(bundle: Bundle, precision: Precision, arguments: argparse.Namespace, folder: Path) -> Runs:
    """Let everything run in turn."""
    chips = sorted((data_folder("ucmerced") / "chips").iterdir())
    count: int = arguments.chips
    listed = chip_list(chips, count, folder / "list.csv")
    graphs = [bundle.graph_path(member, precision) for member in bundle.manifest.members]
    spec = bundle.manifest.input
    chips_BHWC = np.stack([decode_chip(chip.read_bytes(), spec) for chip in chips[:BARE_CHIPS]])
    settings = Settings(bundle=bundle.folder, device="cpu", precision=precision)

    def job(name: str, processes: int, ray: bool = False) -> Job:
        out = folder / name
        shutil.rmtree(out, ignore_errors=True)
        return Job(source=str(listed), out=out, settings=settings, all_members=True, each_copy=True,
                   processes=processes, ray=ray)  # fmt: skip

    def bare(loop: BareLoop) -> dict[str, float]:
        loop.rate(chips_BHWC, 0)
        meter, until_s, done = Meter(), time.monotonic() + arguments.seconds, 0
        while time.monotonic() < until_s:
            loop.run(chips_BHWC)
            done += BARE_CHIPS
        return meter.figures(done)

    def sessions() -> list[ort.InferenceSession]:
        return [ort.InferenceSession(graph, providers=["CPUExecutionProvider"]) for graph in graphs]

    loops = [BareLoop(graphs, way) for way in ways(processors())]
    architectures = [member.architecture for member in bundle.manifest.members]
    fewer = min(count, 8 * 32)  # PyTorch takes its time
    contenders: dict[str, Callable[[], dict[str, float]]] = {
        **{f"bare: {loop.name}": partial(bare, loop) for loop in loops},
        "score, 1 process": lambda: scored(job("one", 1)),
        "score, 2 processes": lambda: scored(job("two", 2)),
        "score, Ray": lambda: scored(job("ray", 0, ray=True)),
        "DataLoader + ONNX Runtime": lambda: measured(runtime_loop(chips, count, sessions(), 2)),
        "DataLoader + PyTorch": lambda: measured(torch_loop(chips, fewer, architectures, 2)),
    }
    runs: Runs = []
    for number in range(arguments.rounds):
        for name, contender in contenders.items():
            runs.append({"part": "limit", "round": number, "contender": name, **contender()})
            print(f"round {number + 1}: {runs[-1]}", file=sys.stderr, flush=True)
    return runs


def print_limit(runs: Runs) -> None:
    """Print medians, and each round's rate as a part of the fastest bare loop's in that round."""
    print(f"{'':42} chips/s  of bare   CPU ms/chip  of bare")
    rounds = sorted({run["round"] for run in runs})

    def best(number: int, figure: str, choose: Callable[[Iterable[float]], float]) -> float:
        return choose(
            run[figure] for run in runs if run["round"] == number and run["contender"][:4] == "bare"
        )

    for name in dict.fromkeys(run["contender"] for run in runs):
        own = {run["round"]: run for run in runs if run["contender"] == name}
        rate = median(run["chips_per_s"] for run in own.values())
        cpu = median(run["cpu_ms"] for run in own.values())
        of_rate = median(own[number]["chips_per_s"] / best(number, "chips_per_s", max) for number in rounds)
        of_cpu = median(own[number]["cpu_ms"] / best(number, "cpu_ms", min) for number in rounds)
        print(f"{name:42} {rate:7.1f}  {of_rate:7.1%}   {cpu:11.1f}  {of_cpu:7.1%}")


def workers(folder: Path) -> Runs:
    """Measure a voter that sleeps, in more and more workers of either kind."""
    bundle = free_bundle(folder / "free")
    chips = sorted((data_folder("ucmerced") / "chips").iterdir())
    settings = Settings(bundle=bundle.folder, device="cpu", threads=1)
    runs: Runs = []
    opening = OpenSleeping(settings, CHIP_S)
    # As the processes beside which they are measured.
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 - it is spelt so
    ray.init(num_cpus=2 * max(WORKERS), include_dashboard=False, logging_level=logging.ERROR)
    for count in WORKERS:
        items = [Item(chip.name, str(chip)) for chip in islice(cycle(chips), 512 * count)]
        with Pool(opening, count, task=64) as pool:
            list(pool.rows(iter(items[: 128 * count])))  # until all have begun
            meter = Meter()
            figures = meter.figures(len(list(pool.rows(iter(items)))))
        runs.append({"part": "workers", "kind": "processes", "workers": count, **figures})
        listed = chip_list(chips, 1024 * count, folder / "list.csv")
        job = Job(source=str(listed), out=folder / f"ray{count}", settings=settings, each_copy=True,
                  processes=count, ray=True)  # fmt: skip
        runs.append({"part": "workers", "kind": "actors", "workers": count, **scored(job, opening)})
        print(runs[-2:], file=sys.stderr, flush=True)
    ray.shutdown()
    return runs


def print_workers(runs: Runs) -> None:
    """Print rates for each worker."""
    print("kind       workers  chips/s  for each  of one worker's")
    for kind in ("processes", "actors"):
        own = {run["workers"]: run["chips_per_s"] for run in runs if run["kind"] == kind}
        for count, rate in own.items():
            print(f"{kind:10} {count:7} {rate:8.1f} {rate / count:9.1f} {rate / count / own[1]:16.1%}")


def mixed(folder: Path, count: int) -> Path:
    """Write a list of chips of which one in a hundred is broken."""
    chips = sorted((data_folder("ucmerced") / "chips").iterdir())
    broken = folder / "broken.jpg"
    broken.write_bytes(chips[0].read_bytes()[:1000])
    listed = [broken if n % BROKEN == BROKEN // 2 else chips[n % len(chips)] for n in range(count)]
    return chip_list(listed, count, folder / "mixed.csv")


def command(listed: Path, out: Path, bundle: Path, *options: str) -> subprocess.Popen[bytes]:
    """Start the command."""
    arguments = [sys.executable, "-m", "service.cli", "score", str(listed), "--out", str(out), *options]
    return subprocess.Popen(arguments, cwd=ROOT, env={**os.environ, "CHIPVOTE_BUNDLE": str(bundle)})


def check(out: Path, listed: Path) -> dict[str, int]:
    """Compare the tables with the list: every input once."""
    names = pq.read_table(out)["name"].to_pylist()
    failed = pq.read_table(out / "_errors")["name"].to_pylist()
    inputs = listed.read_text().splitlines()[1:]
    assert sorted(names + failed) == sorted(inputs), "some input has no row, or several"
    assert failed == [name for name in inputs if name.endswith("broken.jpg")], (
        "errors are not the broken ones"
    )
    return {"inputs": len(inputs), "rows": len(names), "errors": len(failed)}


def kills(count: int, folder: Path) -> Runs:
    """Kill the run twice, and one of its processes twice in between."""
    bundle, listed, out = free_bundle(folder / "free"), mixed(folder, count), folder / "out"
    options = ("--each-copy", "--part", "200", "--processes", "2")
    runs: Runs = []
    for victim in ("run", "process", "run", "process"):
        run = command(listed, out, bundle.folder, *options)
        before = len(list(out.glob("part-*")))
        while len(list(out.glob("part-*"))) <= before and run.poll() is None:
            time.sleep(0.01)
        time.sleep(random.random())
        own = psutil.Process(run.pid)
        processes = [child for child in own.children() if "spawn_main" in " ".join(child.cmdline())]
        target = own if victim == "run" else random.choice(processes)
        target.send_signal(signal.SIGKILL)
        if victim == "process":
            time.sleep(random.random())
            own.send_signal(signal.SIGKILL)
        run.wait()
        runs.append({"part": "kills", "killed": victim, "parts": len(list(out.glob("part-*")))})
    status = command(listed, out, bundle.folder, *options).wait()
    return [*runs, {"part": "kills", "status": status, **check(out, listed)}]


def whole(bundle: Bundle, count: int, folder: Path) -> Runs:
    """Measure the command from its start to its end."""
    listed, began_s = mixed(folder, count), time.perf_counter()
    status = command(listed, folder / "whole", bundle.folder, "--each-copy").wait()
    took_s = time.perf_counter() - began_s
    figures = {"seconds": round(took_s, 1), "chips_per_s": round(count / took_s, 2), "status": status}
    return [{"part": "whole", **figures, **check(folder / "whole", listed)}]


def print_runs(runs: Runs) -> None:
    """Print figures as they are."""
    print(*runs, sep="\n")


def parsed() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("bundle", nargs="?", default=SHIPPED, metavar="FOLDER[:PRECISION]")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART")
    parser.add_argument("--chips", type=int, default=1000, help="of each run")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10, help="of each bare loop in a round")
    return parser.parse_args()


def main() -> None:
    """Print a table for each part."""
    arguments = parsed()
    bundle, precision = opened(arguments.bundle)
    runs: Runs = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        parts: dict[str, Callable[[Path], Runs]] = {
            "limit": lambda folder: limit(bundle, precision, arguments, folder),
            "workers": workers,
            "kills": lambda folder: kills(arguments.chips, folder),
            "whole": lambda folder: whole(bundle, arguments.chips, folder),
        }
        for part in arguments.only:
            (folder / part).mkdir()
            found = parts[part](folder / part)
            runs += found
            tables: dict[str, Callable[[Runs], None]] = {"limit": print_limit, "workers": print_workers}
            tables.get(part, print_runs)(found)
    facts = {
        "cpu": processor_kind(),
        "cores": processors(),
        **described(bundle, precision),
        "chips": arguments.chips,
    }
    write("bulk", facts, runs)


if __name__ == "__main__":
    main()
