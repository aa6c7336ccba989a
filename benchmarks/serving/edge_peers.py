"""What do clients get when things go wrong, from this service and from its peers?

    python -m benchmarks.serving.edge_peers [--seconds S] [--only NAME…] [--trials NAME…]
                                            [--limits LIMITS…]

Every server has a device that takes two chips at a time, 40 ms each, so 50 a second; peers have two
workers with one chip each. Each is asked twice: with the limits that it comes with, and with those
that it documents set to 64 requests inside and 5 seconds of waiting, where it has them. One server
runs at a time, started anew for each trial; only slow clients, who cost nothing, come to all at
once.

    closed    400 clients who come again, when Retry-After says so or after a second
    open      ten times what the device can do, at random times
    gone      60 clients who hang up: how many of their chips are computed
    beside    lone chips, alone and beside four addresses with 125 connections each; this service
              beside four requests of 125 chips as well
    header    eight heads of 32 MB
    sigterm   SIGTERM with 100 and with 400 requests inside
    slow      clients who send little or nothing, under `ulimit -n 256`

Prints tables in Markdown and writes `benchmarks/results/edge_peers.json`; what was not measured
again stays as it stands there. Twenty minutes in all; `make peers` first.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.harness import trials
from benchmarks.harness.bundles import free_bundle
from benchmarks.harness.chips import FORM, form, photo
from benchmarks.harness.comparison import RESULTS, machine, require_peers, write
from benchmarks.harness.contenders import OURS, PYTHON, ours, peer
from benchmarks.harness.crowd import Target, until_served
from benchmarks.harness.servers import Running, Server, running, stop_cleanly
from benchmarks.harness.trial_tables import tables
from benchmarks.harness.trials import Figures

PEERS = ("fastapi", "litserve", "bentoml", "triton")
LIMITS = ("default", "tight")
TRIALS = ("closed", "open", "gone", "beside", "header", "sigterm", "slow")
DEVICE_MS, LANES = 40, 2
PER_S = LANES * 1000 / DEVICE_MS
CLIENTS, TIMES, GONE = 400, 10, 60
QUEUE, DEADLINE_S = 64, 5
WAITING, WAIT_S = (100, 400), 60
NEIGHBOURS, EACH = 4, 125
DESCRIPTORS = 256
NAME = "edge_peers"

Trial = Callable[[Running, Target], Coroutine[Any, Any, Figures]]


def contender(name: str, limits: str, python: Path, bundle: Path, counted: Path) -> Server:
    """Return a server on a device of known speed."""
    device = {"DEVICE_MS": str(DEVICE_MS), "DEVICE_COUNT": str(counted)}
    if name == OURS:
        tight = {"CHIPVOTE_QUEUE_SIZE": str(QUEUE), "CHIPVOTE_DEADLINE_S": str(DEADLINE_S)}
        own = {"CHIPVOTE_THREADS": str(LANES), **(tight if limits == "tight" else {})}
        server = ours(bundle, "float32", {**own, **device, "DEVICE_LANES": str(LANES)})
        return replace(server, command=(sys.executable, "-m", "benchmarks.harness.timed"))
    settings: dict[str, int | str] = {
        "workers": LANES,
        "limits": limits,
        "queue": QUEUE,
        "deadline_s": DEADLINE_S,
    }
    server = peer(name, python, bundle, "float32", settings)
    return replace(server, environment={**server.environment, **device})


def few_descriptors(server: Server) -> Server:
    """Return a server that may have few files and connections open in each of its processes."""
    limited = ("sh", "-c", f'ulimit -n {DESCRIPTORS} && exec "$@"', "sh")
    return replace(server, command=(*limited, *server.command))


def single_trials(name: str, limits: str, lasts_s: float, counted: Path, chip: bytes) -> dict[str, Trial]:
    """Return the trials for which a server is alone on the machine, by name.

    What no limit changes is tried with those that the server comes with.
    """

    def neighbours(target: Target) -> list[tuple[Target, str]]:
        return [(target, f"127.0.0.{2 + index % NEIGHBOURS}") for index in range(NEIGHBOURS * EACH)]

    async def beside_forms(_: Running, target: Target) -> Figures:
        body = form([(f"{index}.jpg", chip) for index in range(EACH)])
        large = replace(target, headers=FORM, body=body)
        return await trials.beside(
            target, [(large, f"127.0.0.{2 + index}") for index in range(NEIGHBOURS)], lasts_s
        )

    found: dict[str, Trial] = {
        "closed": lambda started, target: trials.closed_loop(started, target, CLIENTS, lasts_s),
        "open": lambda started, target: trials.open_loop(started, target, TIMES * PER_S, lasts_s),
    }
    if limits != "default":
        return found
    found["beside"] = lambda _, target: trials.beside(target, neighbours(target), lasts_s)
    found["gone"] = lambda _, target: trials.gone(target, counted, GONE)
    found["header"] = trials.endless_header
    found |= {f"sigterm {waiting}": partial(_terminated, waiting) for waiting in WAITING}
    return {**found, "beside forms": beside_forms} if name == OURS else found


async def _terminated(waiting: int, started: Running, target: Target) -> Figures:
    return await trials.terminated(started, target, waiting, WAIT_S)


def alone(server: Server, chip: bytes, trial: Trial) -> Figures:
    """Start a server, let it go through one trial, and end it."""
    try:
        with running(server, []) as started:
            try:
                return asyncio.run(_warm(started, Target.of(started, chip), trial))
            finally:
                started.kill()  # which need not compute what nobody waits for any more
    except RuntimeError as error:
        return {"error": str(error)}


async def _warm(started: Running, target: Target, trial: Trial) -> Figures:
    for _ in range(4):
        await until_served(target, 60)
    return await trial(started, target)


def all_slow(
    servers: Mapping[tuple[str, str], Server], chip: bytes, most_s: float
) -> dict[tuple[str, str], Figures]:
    """Let slow clients come to all servers at once, since they only wait."""
    with ExitStack() as stack:
        targets: dict[tuple[str, str], Target] = {}
        found: dict[tuple[str, str], Figures] = {}
        for key, server in servers.items():
            try:
                targets[key] = Target.of(stack.enter_context(running(few_descriptors(server), [])), chip)
            except RuntimeError as error:
                found[key] = {"error": str(error)}

        async def everywhere() -> list[Figures]:
            return await asyncio.gather(*(trials.slow(target, most_s) for target in targets.values()))

        return found | dict(zip(targets, asyncio.run(everywhere()), strict=True))


def earlier(runs: Sequence[Figures]) -> list[Figures]:
    """Return what was written before and not measured again."""
    path = RESULTS / f"{NAME}.json"
    known = json.loads(path.read_text(encoding="utf-8"))["runs"] if path.exists() else []
    again = {_key(run) for run in runs}
    return [run for run in known if _key(run) not in again]


def _key(run: Figures) -> tuple[str, ...]:
    return run["server"], run["limits"], run["trial"]


def _place(run: Figures) -> tuple[int, int]:
    return (OURS, *PEERS).index(run["server"]), LIMITS.index(run["limits"])


def main() -> None:
    """Run all trials."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=15, help="of each load")
    parser.add_argument("--slow-seconds", type=float, default=80, help="most that slow clients are watched")
    parser.add_argument("--only", nargs="+", choices=[OURS, *PEERS], default=[OURS, *PEERS])
    parser.add_argument("--limits", nargs="+", choices=LIMITS, default=LIMITS)
    parser.add_argument("--trials", nargs="+", choices=TRIALS, default=TRIALS)
    parser.add_argument("--peers-python", type=Path, default=PYTHON, help="interpreter of the peers")
    arguments = parser.parse_args()
    stop_cleanly()
    names = arguments.only if require_peers(arguments.peers_python) else [OURS]
    chip, runs = photo(0), []
    with tempfile.TemporaryDirectory() as folder:
        counted = Path(folder) / "computed"
        bundle = free_bundle(Path(folder) / "bundle").folder
        servers = {
            (name, limits): contender(name, limits, arguments.peers_python, bundle, counted)
            for name in names
            for limits in arguments.limits
        }
        for (name, limits), server in servers.items():
            for trial, go in single_trials(name, limits, arguments.seconds, counted, chip).items():
                if trial.split()[0] in arguments.trials:
                    print(f"{name}, {limits}: {trial}", file=sys.stderr, flush=True)
                    figures = alone(server, chip, go)
                    print(figures, file=sys.stderr, flush=True)
                    runs.append({"server": name, "limits": limits, "trial": trial, **figures})
        if "slow" in arguments.trials:
            for (name, limits), figures in all_slow(servers, chip, arguments.slow_seconds).items():
                print(name, limits, figures, file=sys.stderr, flush=True)
                runs.append({"server": name, "limits": limits, "trial": "slow", **figures})
    facts = {
        "machine": machine(arguments.peers_python),
        "seconds": arguments.seconds,
        "device": {"ms": DEVICE_MS, "lanes": LANES},
        "tight": {"queue": QUEUE, "deadline_s": DEADLINE_S},
    }
    runs = sorted([*earlier(runs), *runs], key=_place)
    write(NAME, facts, runs)
    print(tables(runs))


if __name__ == "__main__":
    main()
