"""One client for every server: wrk keeps so many connections busy for so many seconds."""

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

SCRIPT = Path(__file__).with_name("_load.lua")
TIMEOUT_S = 60


class Load(NamedTuple):
    """What a server did under load; every request was answered with a status of 2xx."""

    requests_per_s: float
    p50_ms: float
    p99_ms: float
    requests: int


def require_wrk() -> None:
    """End the script where wrk is not installed."""
    if not shutil.which("wrk"):
        sys.exit("the load comes from wrk, which is not installed: apt-get install wrk")


def load(
    url: str, headers: Mapping[str, str], bodies: Sequence[Path], connections: int, seconds: float
) -> Load:
    """Post the bodies in turn over so many connections, each of which waits for its answers.

    Raises:
        RuntimeError: a request was refused or broken off.
    """
    command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", f"--timeout={TIMEOUT_S}s"]
    for name, value in headers.items():
        command += ["-H", f"{name}: {value}"]
    command += ["-s", str(SCRIPT), url, "--", *map(str, bodies)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"wrk failed: {done.stderr.strip() or done.stdout.strip()}")
    return parse(done.stdout)


def parse(output: str) -> Load:
    """Read the line of JSON that `_load.lua` ends with.

    Raises:
        RuntimeError: there is none, nothing was answered, or an answer was no success.
    """
    last = output.strip().rpartition("\n")[2]
    if not last.startswith("{"):
        raise RuntimeError(f"wrk printed no result: {output.strip()[-500:]}")
    counts = json.loads(last)
    bad = {name: counts[name] for name in ("refused", "broken") if counts[name]}
    if bad or not counts["requests"]:
        raise RuntimeError(f"not every request was answered well: {counts['requests']} answers, {bad}")
    return Load(
        requests_per_s=counts["requests"] / counts["duration_us"] * 1e6,
        p50_ms=counts["p50_us"] / 1000,
        p99_ms=counts["p99_us"] / 1000,
        requests=counts["requests"],
    )
