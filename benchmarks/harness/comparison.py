"""Servers in turn under the same load: one runs at a time, every round goes through all of them.

So a slow minute of the machine hits all alike, and medians over rounds say who is faster.
"""

import json
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from benchmarks.harness.contenders import OURS, PEERS, PYTHON
from benchmarks.harness.load import load
from benchmarks.harness.servers import ROOT, Chip, Running, Server, running, stop_cleanly
from service.contract.processors import processor_kind, processors

RESULTS = ROOT / "benchmarks" / "results"
FIGURES = {"requests_per_s": "req/s", "p50_ms": "p50 ms", "p99_ms": "p99 ms", "cpu_ms": "CPU ms"}

Runs = list[dict[str, Any]]


def measure(
    servers: Sequence[tuple[Server, Sequence[Chip]]],
    connections: Sequence[int],
    *,
    rounds: int,
    seconds: float,
    least: int = 1,
) -> Runs:
    """Load every server in every round with so many connections at a time.

    Args:
        servers: with the chips that each is sent, and the labels it must answer.
        connections: how many at once, one load after the other.
        rounds: how often each server is started and loaded.
        seconds: how long one load lasts; longer if it would answer fewer requests than `least`.
        least: requests that one load answers about.
    """
    stop_cleanly()
    runs: Runs = []
    for number in range(rounds):
        for server, chips in servers:
            print(f"round {number + 1} of {rounds}: {server.name}", file=sys.stderr, flush=True)
            row = {"server": server.name, "round": number}
            try:
                with running(server, chips) as started:
                    found = [_loaded(started, chips, count, seconds, least) for count in connections]
                    memory_mb = round(started.memory_mb(), 1)
            except RuntimeError as error:
                print(f"{server.name} failed: {error}", file=sys.stderr, flush=True)
                runs.append({**row, "error": str(error).splitlines()[0]})
            else:
                runs += [{**row, **figures, "memory_mb": memory_mb} for figures in found]
    return runs


def _loaded(
    started: Running, chips: Sequence[Chip], connections: int, seconds: float, least: int
) -> dict[str, Any]:
    bodies, headers = [chip.file for chip in chips], started.server.headers
    began = perf_counter()
    started.check(chips)
    one_s = (perf_counter() - began) / len(chips)
    warm = load(started.url, headers, bodies, connections, 1.5 * connections * one_s)
    started.check(chips[:1])  # waits behind what the warm-up left unanswered
    lasting_s = max(seconds, least / warm.requests_per_s)
    before_s = started.cpu_s()
    measured = load(started.url, headers, bodies, connections, lasting_s)
    cpu_ms = 1000 * (started.cpu_s() - before_s) / measured.requests
    started.check(chips[:1])
    figures = {**measured._asdict(), "cpu_ms": cpu_ms}
    return {"connections": connections, **{key: round(value, 3) for key, value in figures.items()}}


def medians(runs: Runs) -> dict[tuple[str, int], dict[str, float]]:
    """Return each server's medians at each number of connections; none if it failed once."""
    failed = {run["server"] for run in runs if "error" in run}
    groups: dict[tuple[str, int], Runs] = {}
    for run in runs:
        if run["server"] not in failed:
            groups.setdefault((run["server"], run["connections"]), []).append(run)
    keys = (*FIGURES, "memory_mb")
    return {group: {key: median(run[key] for run in rows) for key in keys} for group, rows in groups.items()}


def print_table(runs: Runs, connections: Sequence[int]) -> None:
    """Print medians, and how many times the best peer's requests this service answers."""
    found = medians(runs)
    names = list(dict.fromkeys(run["server"] for run in runs))
    heads = [f"{count} connection{'s' * (count > 1)}" for count in connections]
    print(f"{'':10}" + "".join(f"{head:>36}" for head in heads) + f"{'memory':>9}")
    print(f"{'server':10}" + "".join(f"{title:>9}" for title in FIGURES.values()) * len(heads) + f"{'MB':>9}")
    for name in names:
        rows = [found[name, count] for count in connections if (name, count) in found]
        cells = "".join(
            f"{row[figure]:9.{1 if row[figure] > 100 else 2}f}" for row in rows for figure in FIGURES
        )
        print(f"{name:10}" + (f"{cells}{rows[0]['memory_mb']:9.0f}" if rows else " failed"))
    for count in connections:
        rates = {name: found[name, count]["requests_per_s"] for name in names if (name, count) in found}
        if OURS in rates and len(rates) > 1:
            best = max(rates.keys() - {OURS}, key=lambda name: rates[name])
            print(f"{count:3} connections: {OURS} answers {rates[OURS] / rates[best]:.2f} × {best}")


def require_peers(python: Path) -> bool:
    """Tell whether the peers' environment is there, and say so if not."""
    if python.exists():
        return True
    print(f"peers skipped: no {python.name} of theirs; `make peers` makes {PYTHON.parts[-3]}")
    return False


def machine(python: Path) -> dict[str, Any]:
    """Describe what the figures were measured on and with."""
    wrk: list[str] = []  # which not every comparison needs
    if shutil.which("wrk"):
        wrk = subprocess.run(["wrk", "-v"], capture_output=True, text=True, check=False).stdout.split()
    return {
        "cpu": processor_kind(),
        "cores": processors(),
        "system": platform.system(),
        "python": platform.python_version(),
        "wrk": wrk[1] if len(wrk) > 1 else "unknown",
        OURS: {name: version(name) for name in ("onnxruntime", "pillow", "numpy", "uvicorn")},
        "peers": _versions(python) if python.exists() else {},
    }


def _versions(python: Path) -> Mapping[str, str]:
    names = [*(peer.package for peer in PEERS.values()), "onnxruntime", "pillow", "numpy", "uvicorn"]
    found = "print(json.dumps({name: metadata.version(name) for name in sys.argv[1:]}))"
    script = f"import json, sys; from importlib import metadata; {found}"
    done = subprocess.run([python, "-c", script, *names], capture_output=True, text=True, check=True)
    versions: Mapping[str, str] = json.loads(done.stdout)
    return versions


def write(name: str, facts: Mapping[str, Any], runs: Runs) -> Path:
    """Write the figures of every run."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    lines = ",\n  ".join(json.dumps(run) for run in runs)
    head = json.dumps(facts, indent=1)[:-2]
    path.write_text(f'{head},\n "runs": [\n  {lines}\n ]\n}}\n')
    return path
