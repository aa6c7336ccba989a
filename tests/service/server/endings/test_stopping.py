"""A process that is told to stop, or that has to, while many wait."""

import asyncio
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from service.contract.bundle import Bundle
from tests.kit.fakes import RED, encoded, picture
from tests.kit.serving import ROOT
from tests.service.server.test_problems import assert_problem

RED_PNG = encoded(picture(RED), "PNG")

SLOW = """
import sys, time
from pathlib import Path
from service.engine import decoding, served
from service.server.launch import serve
from service.settings import Settings
from tests.kit.fakes import LABELS, FakeEnsemble

def wait_for(gate):
    while not Path(gate).exists():
        time.sleep(0.005)

class Slow(FakeEnsemble):
    def vote(self, chips_BHWC, explain=False):
        {vote}
        return super().vote(chips_BHWC, explain)

decode = decoding.decode

def decode_slowly(data, spec):
    chip_HWC, warnings = decode(data, spec)
    {decode}
    return chip_HWC, warnings

decoding.decode = decode_slowly
served.open_ensemble = lambda *_: Slow(len(LABELS))
serve(Settings(bundle=Path(sys.argv[1]), port=0, max_batch=4, access_log=False, {settings}))
"""


@contextmanager
def running(
    bundle: Bundle, settings: str, vote: str = "pass", decode: str = "pass"
) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """A process whose engine and decoders do so, and its address."""
    script = SLOW.format(vote=vote, decode=decode, settings=settings)
    command = [sys.executable, "-c", script, str(bundle.folder)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stderr is not None
            line = next(line for line in process.stderr if "serving " in line)
            found = re.search(r"http://127\.0\.0\.1:\d+", line)
            assert found
            yield process, found[0]
        finally:
            process.kill()


def engine(gate: Path, chip_s: float) -> str:
    """An engine that stands still until there is a gate, so that all are there when it begins."""
    return f"wait_for({str(gate)!r}); time.sleep({chip_s} * len(chips_BHWC))"


def ask(client: httpx2.Client, chips: int = 1) -> httpx2.Response:
    return client.post("/predict", files=[("chip", ("red.png", RED_PNG))] * chips)


def test_whoever_waits_when_the_process_must_stop_is_answered(colours: Bundle, tmp_path: Path) -> None:
    """One chip takes 20 ms and the time to stop is a second: most of them cannot be answered."""
    with (
        running(colours, "shutdown_s=1", engine(tmp_path / "gate", 0.02)) as (process, url),
        httpx2.Client(base_url=url, timeout=120, limits=httpx2.Limits(max_connections=None)) as client,
        ThreadPoolExecutor(101) as threads,
    ):
        asked: list[Future[httpx2.Response]] = []
        for count, chips, waiting in ((100, 1, "100"), (1, 400, r"1(0[1-9]|[1-9]\d)")):
            asked += [threads.submit(ask, client, chips) for _ in range(count)]
            while not re.search(f"queue_places_taken {waiting}\\b", client.get("/metrics").text):
                assert not any(future.done() for future in asked)
        process.send_signal(signal.SIGTERM)
        (tmp_path / "gate").touch()
        answers = [future.result() for future in asked]
        statuses = Counter(answer.status_code for answer in answers)
        assert statuses.keys() == {200, 503}
        assert statuses[200] > 0
        for answer in answers:
            if answer.status_code == 503:
                assert "send the request again" in assert_problem(answer, 503)["detail"]
                assert int(answer.headers["retry-after"]) >= 1
        assert process.wait(60) == 0
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()


@pytest.mark.parametrize("many", [False, True], ids=["400 chips alone", "a form of 400 chips"])
def test_each_of_400_that_wait_at_sigterm_is_answered(colours: Bundle, tmp_path: Path, many: bool) -> None:
    """One chip takes 10 ms and the time to stop is a second: a part of them cannot be answered."""
    files = [("chip", ("red.png", RED_PNG))]

    async def scenario(url: str, process: "subprocess.Popen[str]") -> list[httpx2.Response]:
        limits = httpx2.Limits(max_connections=None)
        async with httpx2.AsyncClient(base_url=url, timeout=120, limits=limits) as client:
            asked = [
                asyncio.create_task(client.post("/predict", files=files * chips))
                for chips in ((400,) if many else (1,) * 400)
            ]
            waiting = r"queue_places_taken [1-9]" if many else "queue_places_taken 400"
            while not re.search(waiting, (await client.get("/metrics")).text):
                assert not any(task.done() for task in asked)
                await asyncio.sleep(0.01)
            process.send_signal(signal.SIGTERM)
            (tmp_path / "gate").touch()
            return await asyncio.gather(*asked)

    settings = "shutdown_s=1, queue_size=1000, deadline_s=0"
    with running(colours, settings, engine(tmp_path / "gate", 0.01)) as (process, url):
        answers = asyncio.run(scenario(url, process))
        statuses = Counter(answer.status_code for answer in answers)
        assert statuses.keys() <= {200, 503}
        if not many:
            assert statuses[200] > 0 and statuses[503] > 0
        for answer in answers:
            if answer.status_code == 503:
                assert "send the request again" in assert_problem(answer, 503)["detail"]
                assert int(answer.headers["retry-after"]) >= 1
        assert process.wait(60) == 0


HANGS, DIES = "time.sleep(1000 if {green} else 0)", "{green} and sys.exit()"
ENGINE, DECODER = "(chips_BHWC[:, 0, 0, 1] > 100).any()", "chip_HWC[0, 0, 1] > 100"


@pytest.mark.parametrize(
    ("does", "says"),
    [
        ({"vote": HANGS.format(green=ENGINE)}, "engine-0 has been at one piece of work for"),
        ({"vote": DIES.format(green=ENGINE)}, "engine-0 has died"),
        ({"decode": HANGS.format(green=DECODER)}, "has been at one piece of work for"),
        ({"decode": DIES.format(green=DECODER)}, "decoder-0 has died"),
    ],
    ids=["engine hangs", "engine dies", "decoder hangs", "decoder dies"],
)
def test_a_process_with_a_stuck_thread_answers_everybody_and_ends(
    colours: Bundle, does: dict[str, str], says: str
) -> None:
    green = encoded(picture((10, 220, 10)), "PNG")
    with (
        running(colours, "watchdog_s=3, decode_threads=1", **does) as (process, url),
        ThreadPoolExecutor(20) as threads,
        httpx2.Client(base_url=url, timeout=120) as kept,
    ):
        assert ask(kept).status_code == 200
        stuck = threads.submit(kept.post, "/predict", content=green, headers={"Content-Type": "image/png"})
        while "queue_places_taken 1" not in kept.get("/metrics").text:
            assert not stuck.done()
        waiting = [threads.submit(ask, kept, chips) for chips in (1, 1, 1, 20)]
        ready: list[int] = []

        def look() -> None:
            while True:
                try:
                    ready.append(kept.get("/health/ready").status_code)
                except httpx2.TransportError:
                    return
                time.sleep(0.02)

        looking = threading.Thread(target=look)
        looking.start()
        assert "is stuck and starts again" in assert_problem(stuck.result(), 503)["detail"]
        assert stuck.result().headers["retry-after"] == "10"
        for future in waiting:
            assert_problem(future.result(), 503)
        assert process.wait(60) == 70
        looking.join()
        assert ready[-1] == 503
        assert process.stderr is not None
        log = process.stderr.read()
        assert [says in line for line in log.splitlines() if '"critical"' in line] == [True]
