"""Several services, each a process at a loopback address of its own, as containers have theirs.

All have one port, since a name that is looked up tells no port. `names` looks up in Docker's place.
"""

import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx2

from tests.kit.serving import ROOT

START_S, STOP_S = 600, 120


class Replica:
    """A service that may be started, killed, told to stop, and started again."""

    def __init__(self, bundle: Path, host: str, port: int) -> None:
        self.host, self.port, self.address = host, port, f"{host}:{port}"
        self._command = [sys.executable, "-m", "service", "--bundle", str(bundle), "--device", "cpu"]
        self._command += ["--host", host, "--port", str(port)]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Begin to start."""
        self.process = subprocess.Popen(self._command, cwd=ROOT, stderr=subprocess.DEVNULL)

    def wait(self) -> None:
        """Wait until it is ready."""
        assert self.process
        until_s = time.monotonic() + START_S
        while not self.is_ready():
            assert self.process.poll() is None and time.monotonic() < until_s, self.address
            time.sleep(0.05)

    def is_ready(self) -> bool:
        """Ask it."""
        try:
            return httpx2.get(f"http://{self.address}/health/ready", timeout=60).status_code == 200
        except httpx2.RequestError:
            return False

    def get(self, path: str) -> str:
        """Ask it itself."""
        return httpx2.get(f"http://{self.address}{path}", timeout=60).text

    def end(self, number: signal.Signals) -> int:
        """Send a signal and wait for the end; return the status."""
        assert self.process
        self.process.send_signal(number)
        return self.process.wait(STOP_S)


@contextmanager
def replicas(bundle: Path, count: int) -> Iterator[list[Replica]]:
    """Run so many services that are ready; end whatever runs of them afterwards."""
    with socket.create_server(("127.0.0.2", 0)) as free:
        port = free.getsockname()[1]
    made = [Replica(bundle, f"127.0.0.{number}", port) for number in range(2, 2 + count)]
    with ExitStack() as cleanup:
        for replica in made:
            replica.start()
            cleanup.callback(_kill, replica)
        for replica in made:
            replica.wait()
        yield made


def _kill(replica: Replica) -> None:
    if replica.process and replica.process.poll() is None:
        replica.process.kill()
        replica.process.wait()


@contextmanager
def names(found: Callable[[], Sequence[str]]) -> Iterator[int]:
    """Answer every look-up with these IPv4 addresses, for a second; yield the port (UDP)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(0.1)
        stop = threading.Event()
        thread = threading.Thread(target=_answer, args=(listener, found, stop))
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            stop.set()
            thread.join()


def _answer(listener: socket.socket, found: Callable[[], Sequence[str]], stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            query, asker = listener.recvfrom(512)
        except TimeoutError:
            continue
        question = query[12 : query.index(b"\0", 12) + 5]
        addresses = found()
        head = query[:2] + struct.pack(">5H", 0x8180, 1, len(addresses), 0, 0)
        # Each: the name asked for, an address (A) of the internet, for one second, four bytes.
        answers = (struct.pack(">3HIH", 0xC00C, 1, 1, 1, 4) + socket.inet_aton(one) for one in addresses)
        listener.sendto(head + question + b"".join(answers), asker)
