"""Does the service keep to its own description? schemathesis makes requests of it, and tells.

    python -m benchmarks.serving.described [--cases N] [--seed N]

Starts the service with a bundle that costs nothing, without keys and then with them, and sends each
half of the cases: parameters and bodies as the description of the API says and as it forbids, chips
whole, damaged and none. Every answer must be of a status, type, shape and headers that the
description names, none a failure of ours, and none without the key. Ends with status 1 where one is
not, and says how to send it again. Takes minutes.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from benchmarks.harness.bundles import free_bundle
from benchmarks.harness.contenders import ours
from benchmarks.harness.servers import ROOT, Running, running, stop_cleanly
from service.server.access.keys import Scope, mint

MOST_AT_ONCE = 2000  # of one operation, in one run


def told(server: Running, cases: int, seed: int, headers: Mapping[str, str], folder: Path) -> dict[str, Any]:
    """Have so many cases sent at most, or fewer of what has no more; return the report."""
    report = folder / f"{seed}.json"
    command = [str(Path(sys.executable).with_name("schemathesis")), "run", f"{server.address}/openapi.json"]
    command += ["--max-examples", str(cases), "--seed", str(seed), "--workers", "2", "--checks", "all"]
    # To the description any bytes are a picture.
    command += ["--exclude-checks", "positive_data_acceptance", "--continue-on-failure", "--no-color"]
    command += ["--generation-database", "none", "--report", "json", "--report-json-path", str(report)]
    command += [f"--header={name}: {value}" for name, value in headers.items()]
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "SCHEMATHESIS_HOOKS": "benchmarks.harness.described",
    }
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stdout, done.stderr, sep="\n")
    found: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    return found


def described(keys: bool, cases: int, seed: int) -> tuple[int, int, int]:
    """Send so many cases or a few more; return how many, those accepted, and the failures."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        token, line = mint("fuzzer", scopes=get_args(Scope))
        (folder / "keys.toml").write_text(line, encoding="utf-8")
        environment = {"CHIPVOTE_KEYS": str(folder / "keys.toml")} if keys else {}
        headers = {"Authorization": f"Bearer {token}"} if keys else {}
        sent = accepted = failures = 0
        server = ours(free_bundle(folder / "bundle").folder, "float32", environment)
        with running(server, []) as service:
            while sent < cases and not failures:
                report = told(service, min(cases - sent, MOST_AT_ONCE), seed, headers, folder)
                sent += report["test_cases"]["generated"]
                failures += report["test_cases"]["unique_failures"] + report["test_cases"]["errored"]
                accepted += sum(
                    phase["accepted"]
                    for phases in report["valid_rates"].values()
                    for phase in phases.values()
                )
                seed += 1
    return sent, accepted, failures


def main(
    cases: Annotated[int, typer.Option(help="requests in all")] = 20_000,
    seed: Annotated[int, typer.Option(help="another one makes other requests")] = 0,
) -> None:
    """Send what the description makes one expect, and what it forbids."""
    stop_cleanly()
    print(f"{'keys':6}{'cases':>9}{'valid and accepted':>20}{'failures':>10}")
    failed = False
    for keys in (False, True):
        sent, accepted, failures = described(keys, cases // 2, seed)
        print(f"{'on' if keys else 'off':6}{sent:9,}{accepted:20,}{failures:10}", flush=True)
        failed |= bool(failures)
    raise typer.Exit(failed)


if __name__ == "__main__":
    typer.run(main)
