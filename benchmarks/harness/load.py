"""One client for every server: wrk keeps so many connections busy for so many seconds.

Where wrk is not at hand, as on a lone machine with a GPU, a client in Python stands in for it.
"""

import http.client
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from time import monotonic, perf_counter
from typing import NamedTuple
from urllib.parse import urlsplit

SCRIPT = Path(__file__).with_name("load.lua")
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
    """Read the line of JSON that `load.lua` ends with.

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


def repeat(url: str, headers: Mapping[str, str], body: bytes, connections: int, seconds: float) -> float:
    """Post one body again and again without wrk; return how many answers a second came.

    Raises:
        RuntimeError: a request was refused.
    """
    until, address = monotonic() + seconds, urlsplit(url)

    def work(_: int) -> float:
        done, began_s = 0, perf_counter()
        with closing(http.client.HTTPConnection(address.netloc, timeout=2 * TIMEOUT_S)) as connection:
            while done == 0 or monotonic() < until:
                connection.request("POST", address.path, body, dict(headers))
                answer = connection.getresponse()
                text = answer.read()
                if answer.status != 200:
                    raise RuntimeError(f"answered {answer.status}: {text[:500]!r}")
                done += 1
        return done / (perf_counter() - began_s)

    with ThreadPoolExecutor(connections) as threads:
        return sum(threads.map(work, range(connections)))
