"""Does memory stay put? What processes hold at load and after many batches.

    python -m benchmarks.serving.memory [FOLDER[:PRECISION]] [--batches N]
                                        [--most CHIPS] [--members M]

1. The whole service over HTTP (wrk) with a bundle that costs next to nothing: 10,000 batches in a
   minute or two.
2. A process with nothing but the bundle's ensemble: N batches of 1 to CHIPS chips. A bundle of real
   networks takes long, so by default 1,000 batches of up to 2 chips: some minutes on two cores.

Memory is PSS: what processes share is counted once. Growth is that since the mark before, the first
thousand batches filling the buffers. `--members` repeats the bundle's members up to so many, to
show what a large ensemble takes. Figures go to `benchmarks/results/memory.json`.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.harness.bundles import SHIPPED, described, free_bundle, opened, repeated
from benchmarks.harness.chips import labelled, photo
from benchmarks.harness.comparison import Runs, machine, write
from benchmarks.harness.contenders import OURS, PYTHON, ours
from benchmarks.harness.engine import batches
from benchmarks.harness.load import load, require_wrk
from benchmarks.harness.servers import ROOT, running, stop_cleanly
from service.contract.bundle import Bundle
from service.contract.manifest import Precision

SERVED = 10_000  # batches over HTTP
CONNECTIONS = 16


def marks(last: int) -> list[int]:
    """Return the powers of ten up to `last` from 10 on, and it."""
    powers = [10**power for power in range(1, len(str(last)))]
    return [*(mark for mark in powers if mark < last), last]


def served(folder: Path) -> Runs:
    """Return the service's memory at the marks, with a bundle that costs nothing."""
    bundle = free_bundle(folder / "bundle")
    chips = labelled(bundle, "float32", [photo(seed) for seed in range(8)], folder)
    files = [chip.file for chip in chips]
    runs: Runs = []
    with running(ours(bundle.folder, "float32", {}), chips) as started:
        for mark in [0, *(mark for mark in marks(SERVED) if mark >= 1000)]:
            while (taken := batches(started).taken) < mark:
                load(started.url, started.server.headers, files, CONNECTIONS, 1)
            runs.append({"process": OURS, "batches": taken, "memory_mb": round(started.memory_mb(), 1)})
            print(runs[-1], file=sys.stderr, flush=True)
    return runs


def resident(bundle: Bundle, precision: Precision, last: int, most: int) -> Runs:
    """Return the memory of a process that only votes, at the marks."""
    arguments = [str(bundle.folder.resolve()), precision, str(most), *map(str, marks(last))]
    command = [sys.executable, "-m", "benchmarks.harness.resident", *arguments]
    runs: Runs = []
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            for line in process.stdout:
                runs.append({"process": "ensemble", **json.loads(line)})
                print(runs[-1], file=sys.stderr, flush=True)
        finally:
            process.terminate()
    if not runs or runs[-1]["batches"] != last:
        sys.exit(f"the process ended with status {process.returncode} before its last batch")
    return runs


def print_table(runs: Runs) -> None:
    """Print memory, and its growth since the mark before."""
    print("process     batches       MB  since the mark before  since load")
    for before, run in zip([None, *runs], runs, strict=False):
        if not run["batches"] or not before or before["process"] != run["process"]:
            first_mb = run["memory_mb"]
            growth = ""
        else:
            step, whole = (run["memory_mb"] / there - 1 for there in (before["memory_mb"], first_mb))
            growth = f"{step:+22.1%} {whole:+11.1%}"
        print(f"{run['process']:10} {run['batches']:8} {run['memory_mb']:8.1f} {growth}")


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("bundle", nargs="?", default=SHIPPED, metavar="FOLDER[:PRECISION]")
    parser.add_argument("--batches", type=int, default=1000, help="of the bundle's ensemble")
    parser.add_argument("--most", type=int, default=2, help="chips in a batch of the bundle's ensemble")
    parser.add_argument("--members", type=int, help="repeat the bundle's members up to so many")
    arguments = parser.parse_args()
    require_wrk()
    stop_cleanly()
    bundle, precision = opened(arguments.bundle)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if arguments.members:
            members = [index % len(bundle.manifest.members) for index in range(arguments.members)]
            bundle = repeated(bundle, members, precision, folder / "repeated")
        runs = served(folder) + resident(bundle, precision, arguments.batches, arguments.most)
    facts = {"machine": machine(PYTHON), **described(bundle, precision), "most_chips": arguments.most}
    write("memory", facts, runs)
    manifest = bundle.manifest
    print(f"{OURS}: the free bundle over HTTP; ensemble: {manifest.name}, {len(manifest.members)} member(s)")
    print_table(runs)


if __name__ == "__main__":
    main()
