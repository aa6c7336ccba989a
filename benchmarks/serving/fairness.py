"""Do large requests, and clients that have gone, keep small ones waiting?

    python -m benchmarks.serving.fairness [FOLDER] [--singles N] [--forms F] [--chips C]

Single chips, one after the other, first alone and then beside forms of many chips, which are sent
at once and cut off at the end; the last column is the 99th percentile over that alone. Then many
clients send a chip each and hang up; the last line tells how many of their chips the engine took
all the same. The service has no deadline here, or it would
refuse such forms on a slow machine.
"""

import argparse
import http.client
import re
import socket
import time
from statistics import median, quantiles

import httpx2

from benchmarks.harness.bundles import opened
from benchmarks.harness.chips import FORM, form, photo
from benchmarks.harness.contenders import ours
from benchmarks.harness.servers import ROOT, Running, running, stop_cleanly

JPEG = {"Content-Type": "image/jpeg"}
GONE = 60


def latencies_s(started: Running, chip: bytes, singles: int) -> tuple[list[float], int]:
    """Ask for so many single chips; return how long each took, and how many were no success."""
    found: list[float] = []
    refused = 0
    with httpx2.Client(timeout=120) as client:
        for _ in range(singles):
            began_s = time.perf_counter()
            refused += client.post(started.url, content=chip, headers=JPEG).status_code != 200
            found.append(time.perf_counter() - began_s)
    return found, refused


def send_form(started: Running, body: bytes) -> http.client.HTTPConnection:
    """Send a form and leave its answer for later."""
    connection = http.client.HTTPConnection("127.0.0.1", started.port, timeout=600)
    connection.request("POST", started.server.path, body, FORM)
    return connection


def send_chip(started: Running, chip: bytes) -> socket.socket:
    """Send a chip and leave its answer for later."""
    head = f"POST {started.server.path} HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\n"
    connection = socket.create_connection(("127.0.0.1", started.port))
    connection.sendall(f"{head}Content-Length: {len(chip)}\r\n\r\n".encode() + chip)
    return connection


def metric(started: Running, name: str) -> float:
    """Read one of the service's metrics."""
    found = re.search(rf"^{name} (\S+)$", httpx2.get(f"{started.address}/metrics").text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def computed_for_nobody(started: Running, chip: bytes) -> float:
    """Return how many chips of clients that are gone the engine took."""
    connections = [send_chip(started, chip) for _ in range(GONE)]
    while metric(started, "chipvote_queue_places_taken") < GONE / 2:
        time.sleep(0.01)
    before = metric(started, "chipvote_batch_chips_sum")
    for connection in connections:
        connection.close()
    while metric(started, "chipvote_queue_places_taken"):
        time.sleep(0.1)
    return metric(started, "chipvote_batch_chips_sum") - before


def print_row(name: str, found: list[float], refused: int, alone_ms: float | None = None) -> float:
    """Print one line of the table; return the 99th percentile."""
    p99_ms = 1000 * quantiles(found, n=100, method="inclusive")[98]
    print(
        f"{name:28} {len(found):6} {refused:8} {1000 * median(found):8.0f} {p99_ms:8.0f} "
        f"{p99_ms / (alone_ms or p99_ms):7.1f}",
        flush=True,
    )
    return p99_ms


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("bundle", nargs="?", default=str(ROOT / "models" / "uc-merced"), metavar="FOLDER")
    parser.add_argument("--singles", type=int, default=200, help="single chips, alone and beside forms")
    parser.add_argument("--forms", type=int, default=4)
    parser.add_argument("--chips", type=int, default=500, help="in each form")
    arguments = parser.parse_args()
    stop_cleanly()
    bundle, precision = opened(arguments.bundle)
    chip = photo(0)
    body = form([(f"{index}.jpg", chip) for index in range(arguments.chips)])
    server = ours(bundle.folder, precision, {"CHIPVOTE_DEADLINE_S": "0"})
    with running(server, []) as started:
        print("single chips                  asked  refused   p50 ms   p99 ms × alone")
        alone_ms = print_row("alone", *latencies_s(started, chip, arguments.singles))
        forms = [send_form(started, body) for _ in range(arguments.forms)]
        while metric(started, "chipvote_queue_places_taken") < arguments.forms:
            time.sleep(0.1)
        print_row(
            f"beside {arguments.forms} forms of {arguments.chips}",
            *latencies_s(started, chip, arguments.singles),
            alone_ms,
        )
        for connection in forms:
            connection.close()
        while metric(started, "chipvote_queue_places_taken"):
            time.sleep(0.1)
        print(
            f"\n{GONE} clients that hung up: {computed_for_nobody(started, chip):.0f} of their chips computed"
        )


if __name__ == "__main__":
    main()
