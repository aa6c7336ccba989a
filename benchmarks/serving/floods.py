"""What do slow and greedy clients cost everybody else? Each kind in turn, with the default limits.

    python -m benchmarks.serving.floods [--only WORD] [--against HOST:PORT --pid PID]

Starts the service with the default bundle, or takes one that runs. Slow kinds come together, then
each flood alone, its clients coming back for as long as it lasts. A bystander, in a process of its
own, asks for `/health/live` and now and then for one chip. Prints, for each kind: how long its
clients were let go on, how they were answered, the service's memory above that at start (RSS: the
peak, and when all were gone), and the bystander's longest waits. Beside them stands the most
processor time that the event loop's thread took while `/health/live` was waited for (Linux): where
others use the machine too, only that is the service's own. The first line is the bystander alone.
Takes two minutes, and up to 350 connections of one address.
"""

import argparse
import asyncio
import multiprocessing
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import httpx2
import psutil

from benchmarks.harness.bundles import SHIPPED, opened
from benchmarks.harness.chips import labelled, photo
from benchmarks.harness.contenders import ours
from benchmarks.harness.rude import Ends, Kind, be
from benchmarks.harness.servers import loop_ms, running, stop_cleanly

BYSTANDER = "127.0.0.2"  # an address of its own, as others have
FLOOD_S, CHIP_EVERY_S, MOST_S = 4.0, 0.5, 90.0
GET = b"GET %s HTTP/1.1\r\nHost: x\r\n"
LIVE = GET % b"/health/live" + b"\r\n"
CHUNKED = (
    b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n"
)
LARGE = GET % b"/docs-files/swagger-ui-bundle.js" + b"\r\n"


def post(path: bytes, content_type: bytes, size_bytes: int) -> bytes:
    """Return the head of a request with a body."""
    head = b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n"
    return head % (path, content_type, size_bytes)


def text_form(charset: bytes) -> bytes:
    """Return a form of a thousand texts with names as long as they may be."""
    text = b'--x\r\nContent-Disposition: form-data; name="%s"\r\n\r\n1\r\n' % (4000 * b"a")
    body = 999 * text + b"--x--\r\n"
    return post(b"/predict", b"multipart/form-data; boundary=x; charset=" + charset, len(body)) + body


FORM = b"multipart/form-data; boundary=x"
PART = b'--x\r\nContent-Disposition: form-data; name="chip"; filename="a.png"\r\n\r\n'
SLOW = [
    Kind("says nothing", 60, b""),
    Kind("a head at a byte a second", 60, GET % b"/" + b"A: ", b"a", 1),
    Kind("a body at a byte a second", 60, post(b"/predict", b"image/png", 1 << 20), b"a", 1),
    Kind("a form that stalls", 60, post(b"/predict", FORM, 1 << 20) + PART + bytes(50_000)),
    Kind("a preview that stalls", 60, post(b"/preview", b"image/png", 1 << 20) + bytes(50_000)),
    Kind("requests, no answer read", 8, b"", 500 * LIVE, until="cut, unread"),
    Kind("requests for a large file, none read", 40, b"", 500 * LARGE, until="cut, unread"),
]
FLOODS = [
    Kind("one endless header", 1, GET % b"/" + b"A: ", b"a" * (1 << 16)),
    Kind("endless headers, long", 100, GET % b"/" + b"A: ", b"a" * (1 << 16)),
    Kind("endless headers, short", 100, GET % b"/", b"a:b\r\n" * (1 << 13)),
    Kind("endless address", 100, b"GET /", b"a" * (1 << 16)),
    Kind("line ends, no request", 100, b"", b"\r\n" * (1 << 15)),
    Kind("requests, answers read", 100, b"", 500 * LIVE),
    Kind("endless trailers", 100, CHUNKED + b"0\r\n", b"a: b\r\n" * (1 << 13)),
    Kind("an endless chunk extension", 100, CHUNKED + b"1;", b"a" * (1 << 16)),
    Kind("chunks of a byte", 100, CHUNKED, b"1\r\na\r\n" * (1 << 13)),
    Kind("no HTTP", 100, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 50),
    Kind("a form of punycode", 4, text_form(b"punycode"), until="answer"),
    Kind("connections, one after the other", 100, b"", until="connected"),
]


def stand_by(url: str, pid: int, chip: bytes, wire: Connection) -> None:
    """Ask, and tell the longest waits since asked last, until told to end."""
    waits_ms: dict[str, float] = {}

    def wait_for(name: str, ask: Callable[[], httpx2.Response]) -> None:
        began_s, began_loop_ms = time.perf_counter(), loop_ms(pid)
        try:
            ask().raise_for_status()
            waited_ms = 1000 * (time.perf_counter() - began_s)
        except httpx2.HTTPError as error:
            print(f"the bystander's {name}: {error!r}", file=sys.stderr)
            waited_ms = float("inf")
        waits_ms[name] = max(waits_ms.get(name, 0), waited_ms)
        if name == "live":
            waits_ms["loop"] = max(waits_ms.get("loop", 0), loop_ms(pid) - began_loop_ms)

    next_chip_s = 0.0
    way = httpx2.HTTPTransport(local_address=BYSTANDER)
    jpeg = {"Content-Type": "image/jpeg"}
    with httpx2.Client(base_url=url, timeout=60, headers=jpeg, transport=way) as http:
        while True:
            wait_for("live", lambda: http.get("/health/live"))
            if time.monotonic() > next_chip_s:
                wait_for("chip", lambda: http.post("/predict", content=chip))
                next_chip_s = time.monotonic() + CHIP_EVERY_S
            if wire.poll(0.01):
                if not wire.recv():
                    return
                wire.send(waits_ms)
                waits_ms = {}


class Watch:
    """Memory and the bystander, over one kind after the other."""

    def __init__(self, pid: int, wire: Connection) -> None:
        self._process, self._wire = psutil.Process(pid), wire
        self._start_mb = self._memory_mb()
        print(f"memory at start: {self._start_mb:.0f} MB")
        print(f"{'':38}  clients  longest s   peak MB  after MB   loop ms   live ms   chip ms  answers")

    def _memory_mb(self) -> float:
        return float(self._process.memory_info().rss) / 2**20

    async def over(self, doing: Awaitable[Sequence[tuple[Kind, Ends]]]) -> None:
        """Print what some kinds cost."""
        self._wire.send(True)
        self._wire.recv()
        task = asyncio.ensure_future(doing)
        peak_mb = 0.0
        while not task.done():
            peak_mb = max(peak_mb, self._memory_mb())
            await asyncio.wait([task], timeout=0.02)
        await asyncio.sleep(1)
        self._wire.send(True)
        waits_ms = self._wire.recv()
        figures = (peak_mb - self._start_mb, self._memory_mb() - self._start_mb)
        shared = "{:+9.0f} {:+9.0f}  {:8.0f}  {:8.0f}  {:8.0f}".format(
            *figures, *(waits_ms[name] for name in ("loop", "live", "chip"))
        )
        for kind, ends in await task:
            answers = ", ".join(f"{status} {count}" for status, count in ends.answers.most_common())
            print(f"{kind.name:38}  {kind.clients:7}  {ends.longest_s:9.1f} {shared}  {answers}", flush=True)


async def compare(address: tuple[str, int], pid: int, wire: Connection, only: str) -> None:
    """Print one table."""
    watch = Watch(pid, wire)

    async def all_of(kinds: Sequence[Kind], lasts_s: float, most_s: float) -> list[tuple[Kind, Ends]]:
        ends = await asyncio.gather(*(be(kind, address, lasts_s, most_s) for kind in kinds))
        return list(zip(kinds, ends, strict=True))

    async def nobody() -> list[tuple[Kind, Ends]]:
        await asyncio.sleep(FLOOD_S)
        return [(Kind("nobody else", 0, b""), Ends(0, Counter()))]

    await watch.over(nobody())
    slow = [kind for kind in SLOW if only in kind.name]
    if slow:
        await watch.over(all_of(slow, 0, MOST_S))
    for kind in (kind for kind in FLOODS if only in kind.name):
        await watch.over(all_of([kind], FLOOD_S, FLOOD_S + 2))


def main() -> None:
    """Start what is needed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", default="", help="a part of the names of some kinds")
    parser.add_argument("--against", metavar="HOST:PORT", help="a service that runs, with --pid")
    parser.add_argument("--pid", type=int)
    arguments = parser.parse_args()
    if arguments.against:
        attack(arguments.against, arguments.pid, arguments.only)
        return
    stop_cleanly()
    bundle, precision = opened(SHIPPED)
    with tempfile.TemporaryDirectory() as folder:
        chips = labelled(bundle, precision, [photo(0), photo(1)], Path(folder))
        with running(ours(bundle.folder, precision, {}), chips) as started:
            attack(f"127.0.0.1:{started.port}", started.process.pid, arguments.only)


def attack(address: str, pid: int, only: str) -> None:
    """Have a bystander watch, and attack."""
    host, _, port = address.rpartition(":")
    ours_end, its_end = multiprocessing.Pipe()
    bystander = multiprocessing.Process(
        target=stand_by, args=(f"http://{address}", pid, photo(0), its_end), daemon=True
    )
    bystander.start()
    asyncio.run(compare((host, int(port)), pid, ours_end, only))
    ours_end.send(False)
    bystander.join()


if __name__ == "__main__":
    main()
