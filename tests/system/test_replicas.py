"""Several services behind the compose file's nginx: one dies, one is told to stop, all are renewed.

Requests go on all the while, of clients that ask once and of ours, which asks again.
"""

import re
import signal
import ssl
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx2
import pytest

from service.client import Client
from service.contract.bundle import Bundle
from tests.kit.fakes import BLACK, BLUE, GREEN, LABELS, RED, encoded, picture
from tests.kit.nginx import NGINX, RESOLVER, edge, needs_nginx
from tests.kit.replicas import Replica, names, replicas

pytestmark = [needs_nginx, pytest.mark.slow]

COLOURS = dict(zip(LABELS, (RED, GREEN, BLUE, BLACK), strict=True))
PNG = {"content-type": "image/png"}
RED_PNG = encoded(picture(RED), "PNG")
CLIENTS = 4


@pytest.fixture(scope="module")
def three(colours: Bundle) -> Iterator[list[Replica]]:
    with replicas(colours.folder, 3) as started:
        yield started


@pytest.fixture
def running(three: list[Replica]) -> list[Replica]:
    """All three, ready, whatever the test before has done to them."""
    for replica in three:
        if replica.process and replica.process.poll() is not None:
            replica.start()
    for replica in three:
        replica.wait()
    return three


@pytest.fixture
def url(three: list[Replica], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with edge(tmp_path, *(replica.address for replica in three)) as address:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "tls/certificate.pem"))
        yield address


class Asking:
    """Clients that send a chip again and again and no request twice; what came of it."""

    def __init__(self, url: str) -> None:
        self.outcomes: Counter[str] = Counter()
        self._url, self._stop = f"{url}/predict", threading.Event()
        self._trust = ssl.create_default_context()

    def ask(self) -> None:
        with httpx2.Client(verify=self._trust, timeout=60) as http:
            while not self._stop.wait(0.02):  # or services would have no processor left to start on
                try:
                    answer = http.post(self._url, content=RED_PNG, headers=PNG)
                except httpx2.RequestError as error:
                    self.outcomes[type(error).__name__] += 1
                    continue
                right = answer.status_code == 200 and answer.json()["predictions"][0]["labels"] == ["reddish"]
                self.outcomes["right" if right else str(answer.status_code)] += 1

    @contextmanager
    def going_on(self) -> Iterator[None]:
        with ThreadPoolExecutor(CLIENTS) as threads:
            asking = [threads.submit(self.ask) for _ in range(CLIENTS)]
            try:
                self.until(lambda: self.outcomes["right"] >= 20)
                yield
                answered = self.outcomes["right"]
                self.until(lambda: self.outcomes["right"] >= answered + 20)
            finally:
                self._stop.set()
        for future in asking:
            future.result()

    @staticmethod
    def until(reached: Callable[[], bool]) -> None:
        until_s = time.monotonic() + 300
        while not reached():
            assert time.monotonic() < until_s
            time.sleep(0.005)


def chips(folder: Path, count: int) -> list[Path]:
    """Write chips whose names say their label."""
    folder.mkdir()
    files = []
    for index in range(count):
        label = LABELS[index % len(LABELS)]
        files.append(folder / f"{index}.{label}.png")
        files[-1].write_bytes(encoded(picture(COLOURS[label]), "PNG"))
    return files


def label_all(url: str, files: list[Path], at: dict[int, Callable[[], object]]) -> None:
    """Label files by the client, with something done when so many are; all must be right."""
    labels = []
    for result in Client(url, chips_per_request=2).predict(files, progress=False):
        assert "labels" in result, result
        labels.append(result["labels"])
        at.get(len(labels), lambda: None)()
    assert labels == [[file.suffixes[0][1:]] for file in files]


def test_a_killed_one_costs_no_request(running: list[Replica], url: str) -> None:
    """It is halted first, so that requests are in it for certain."""
    asking = Asking(url)
    with asking.going_on():
        victim = running[0].process
        assert victim
        victim.send_signal(signal.SIGSTOP)
        time.sleep(0.5)
        assert running[0].end(signal.SIGKILL) == -signal.SIGKILL
    assert asking.outcomes.keys() == {"right"}, asking.outcomes


def test_one_that_is_told_to_stop_costs_no_request(url: str, three: list[Replica]) -> None:
    """Whether or not another is gone already."""
    three[1].wait()
    asking = Asking(url)
    with asking.going_on():
        assert three[1].end(signal.SIGTERM) == 0
    assert asking.outcomes.keys() == {"right"}, asking.outcomes


def test_the_client_loses_nothing_while_all_are_renewed(
    running: list[Replica], url: str, tmp_path: Path
) -> None:
    """One after the other is told to stop, and the next only when it is there again."""

    def renew(index: int) -> None:
        replica = running[index]
        assert replica.end(signal.SIGTERM) == 0
        replica.start()
        replica.wait()

    files = chips(tmp_path / "chips", 600)
    asking = Asking(url)
    with asking.going_on():
        label_all(url, files, {100 * (index + 1): partial(renew, index) for index in range(3)})
    assert asking.outcomes.keys() == {"right"}, asking.outcomes


def finds_names() -> bool:
    """Tell whether nginx looks names up again and again for itself, as the image's does."""
    said = subprocess.run([str(NGINX), "-v"], capture_output=True, text=True).stderr
    return tuple(map(int, re.findall(r"\d+", said)[:3])) >= (1, 27, 3)


def asked_for_labels(replica: Replica) -> int:
    told = re.search(r'_total{route="/labels",status="200"} (\d+)', replica.get("/metrics"))
    return int(told[1]) if told else 0


@pytest.mark.skipif(not finds_names(), reason="nginx 1.27.3 or newer looks names up; apt has an older one")
def test_a_new_container_is_found_and_one_that_has_gone_forgotten(
    running: list[Replica], tmp_path: Path
) -> None:
    there = [replica.host for replica in running[:2]]

    def ask_until(reached: Callable[[], bool]) -> None:
        until_s = time.monotonic() + 60
        while not reached():
            assert time.monotonic() < until_s
            assert http.get(f"{url}/labels").status_code == 200

    with names(lambda: there) as port:
        looked_up = RESOLVER.replace("127.0.0.11", f"127.0.0.1:{port}")
        changes = {RESOLVER: looked_up, "chipvote:8000": f"chipvote:{running[0].port}"}
        with edge(tmp_path, changes=changes) as url, httpx2.Client(verify=False, timeout=60) as http:
            while http.get(f"{url}/labels").status_code == 502:
                time.sleep(0.01)  # the first look-up is under way
            before = [asked_for_labels(replica) for replica in running]
            there.append(running[2].host)
            ask_until(lambda: asked_for_labels(running[2]) > before[2])
            there.remove(running[0].host)
            time.sleep(3)
            left = asked_for_labels(running[0])
            for _ in range(20):
                assert http.get(f"{url}/labels").status_code == 200
            assert asked_for_labels(running[0]) == left
