"""What do clients notice when one of several services dies, stops, or all are renewed?

    python -m benchmarks.serving.replicas [FOLDER] [--services N] [--clients C] [--free]

Services stand behind the compose file's nginx, and then behind the same one with nginx's own choice
of whom to ask next (`plain`). Clients send forms of four chips, each once, while nothing happens;
while a service is killed and started again; is told to stop and started again; and while all of
them are, one after the other. Prints how many requests came, how many failed, how many nginx gave
to a second service, how long they took, the longest time in which nobody was answered, and how long
it took until all services were there again. The last line is of our own client. `--free` takes a
bundle that costs next to nothing.
"""

import argparse
import os
import signal
import ssl
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import quantiles

import httpx2

from benchmarks.harness.bundles import SHIPPED, free_bundle
from benchmarks.harness.chips import FORM, form, photo
from benchmarks.harness.servers import stop_cleanly
from service.client import Client
from tests.kit.nginx import edge
from tests.kit.replicas import Replica, replicas

CHIPS, AROUND_S = 4, 3.0
TELLING = {"$request_time'": "$request_time $upstream_addr'"}
PLAIN = {
    "least_conn;": "",
    "proxy_next_upstream error timeout http_503;": "",
    "proxy_next_upstream error timeout http_503 non_idempotent;": "",
}

Event = Callable[[Sequence[Replica]], None]


@dataclass
class Seen:
    """What clients got."""

    outcomes: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    ends_s: list[float] = field(default_factory=list)  # of those that were answered

    def ask(self, url: str, body: bytes, trust: ssl.SSLContext, stop: threading.Event) -> None:
        """Send forms until told to stop."""
        with httpx2.Client(verify=trust, timeout=120) as http:
            while not stop.is_set():
                began_s = time.perf_counter()
                try:
                    outcome = str(http.post(f"{url}/predict", content=body, headers=FORM).status_code)
                except httpx2.RequestError as error:
                    outcome = type(error).__name__
                self.outcomes[outcome] += 1
                if outcome == "200":
                    self.ends_s.append(time.perf_counter())
                    self.seconds.append(self.ends_s[-1] - began_s)

    def told(self) -> str:
        """Return requests, failures, times and the longest pause, as cells."""
        failed = {name: count for name, count in self.outcomes.items() if name != "200"}
        p50, p99 = (1e3 * quantiles(self.seconds, n=100)[at] for at in (49, 98))
        pause_s = max(later - earlier for earlier, later in pairwise(sorted(self.ends_s)))
        failures = ", ".join(f"{count} × {name}" for name, count in failed.items()) or "0"
        return f"{self.outcomes.total():8} {failures:>18} {p50:7.0f} {p99:7.0f} {pause_s:8.2f}"


@contextmanager
def asking(url: str, body: bytes, clients: int) -> Iterator[Seen]:
    """Have clients ask meanwhile, and for some seconds before and after."""
    seen, stop, trust = Seen(), threading.Event(), ssl.create_default_context()
    threads = [threading.Thread(target=seen.ask, args=(url, body, trust, stop)) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        time.sleep(AROUND_S)
        yield seen
        time.sleep(AROUND_S)
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def renew(number: signal.Signals, replica: Replica) -> None:
    """End a service and wait until it is there again."""
    replica.end(number)
    replica.start()
    replica.wait()


def renew_all(services: Sequence[Replica]) -> None:
    """End all of them, one after the other."""
    for replica in services:
        renew(signal.SIGTERM, replica)


EVENTS: dict[str, Event] = {
    "nothing": lambda _: None,
    "one is killed": lambda services: renew(signal.SIGKILL, services[0]),
    "one is stopped": lambda services: renew(signal.SIGTERM, services[1]),
    "all are renewed": renew_all,
}


@contextmanager
def proxied(services: Sequence[Replica], changes: Mapping[str, str]) -> Iterator[tuple[str, Path]]:
    """Put nginx before the services; yield its address and its log."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        with edge(place, *(one.address for one in services), changes={**TELLING, **changes}) as url:
            os.environ["SSL_CERT_FILE"] = str(place / "tls/certificate.pem")
            yield url, place / "error.log"


def passed_on(log: Path) -> int:
    """Count the requests that went to more than one service."""
    return sum('"POST /predict"' in line and ", " in line for line in log.read_text().splitlines())


def show(name: str, services: Sequence[Replica], body: bytes, clients: int) -> None:
    """Print a line for each event, behind both."""
    for proxy, changes in (("edge", {}), ("plain", PLAIN)):
        with proxied(services, changes) as (url, log):
            with asking(url, body, clients) as seen:
                began_s = time.perf_counter()
                EVENTS[name](services)
                away_s = time.perf_counter() - began_s
            print(f"{name:16} {proxy:6} {seen.told()} {passed_on(log):9} {away_s:8.1f}", flush=True)


def label_meanwhile(services: Sequence[Replica], folder: Path) -> None:
    """Have our client label files while all services are renewed; print what came of it."""
    files = [folder / f"{seed}.jpg" for seed in range(8)]
    for seed, file in enumerate(files):
        file.write_bytes(photo(seed))
    renewing = threading.Thread(target=renew_all, args=(services,))

    def given() -> Iterator[Path]:
        while renewing.is_alive():
            yield from files

    with proxied(services, {}) as (url, _):
        renewing.start()
        results = list(Client(url, chips_per_request=CHIPS).predict(given(), progress=False))
    labelled = sum("labels" in result for result in results)
    print(f"our client, while all are renewed: {labelled} of {len(results)} chips labelled")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", default=SHIPPED)
    parser.add_argument("--services", type=int, default=3)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--free", action="store_true")
    options = parser.parse_args()
    stop_cleanly()
    body = form([(f"{seed}.jpg", photo(seed)) for seed in range(CHIPS)])
    with tempfile.TemporaryDirectory() as scratch:
        bundle = free_bundle(Path(scratch, "free")).folder if options.free else Path(options.folder)
        with replicas(bundle, options.services) as services:
            print(f"{'event':16} {'nginx':6} {'requests':>8} {'failed':>18} {'p50 ms':>7} {'p99 ms':>7} "
                  f"{'pause s':>8} {'passed on':>9} {'back s':>8}")  # fmt: skip
            for name in EVENTS:
                show(name, services, body, options.clients)
            label_meanwhile(services, Path(scratch))


if __name__ == "__main__":
    main()
