"""Start a server, wait for right answers, read its memory, stop every process it started.

The one way in which benchmarks start a server. It gets a session of its own. Some start processes
in further sessions or leave workers behind, so all descendants are looked up and stopped too.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]
START_S, STOP_S = 180, 15


@dataclass(frozen=True)
class Server:
    """How to start a server and how to talk to it."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    port: str  # the environment variable that takes the port
    path: str
    headers: Mapping[str, str]
    labels: Callable[[bytes], set[str]]  # reads an answer's body
    ready: str = ""  # a path that answers 200 from when it is ready; without one, its chips tell


@dataclass(frozen=True)
class Chip:
    """A request's body, and the labels that its answer must hold."""

    file: Path
    labels: set[str]


class Running:
    """A server that answers."""

    def __init__(self, server: Server, port: int, process: subprocess.Popen[bytes]) -> None:
        self.server, self.port, self.process = server, port, process
        self.address = f"http://127.0.0.1:{port}"
        self.url = f"{self.address}{server.path}"

    def asked_as(self, server: Server) -> "Running":
        """Return the same processes, talked to another way."""
        return Running(server, self.port, self.process)

    def check(self, chips: Sequence[Chip]) -> None:
        """Ask for every chip once.

        Raises:
            RuntimeError: an answer is wrong.
            OSError: there is none, or it is no success.
        """
        for chip in chips:
            request = urllib.request.Request(self.url, chip.file.read_bytes(), dict(self.server.headers))
            with urllib.request.urlopen(request, timeout=60) as answer:
                found = self.server.labels(answer.read())
            if found != chip.labels:
                wanted = sorted(chip.labels)
                raise RuntimeError(f"answers {sorted(found)} for {chip.file.name}, must be {wanted}")

    def cpu_s(self) -> float:
        """Return the processor time of all its processes, which neighbours hardly change."""
        return sum(map(_cpu_s, family(self.process.pid)))

    def kill(self) -> None:
        """End all its processes at once."""
        for member in family(self.process.pid):
            with suppress(psutil.NoSuchProcess):
                member.kill()

    def memory_mb(self) -> float:
        """Return the memory of all its processes; what several share counts once (PSS)."""
        return sum(map(pss_mb, family(self.process.pid)))


def stop_cleanly() -> None:
    """Let SIGTERM end the script as an exception does, so that no server stays behind."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


@contextmanager
def running(server: Server, chips: Sequence[Chip]) -> Iterator[Running]:
    """Run a server that is ready and answers these chips, if any, rightly.

    Raises:
        RuntimeError: it ends by itself, answers wrongly, or not in time; with its last lines.
    """
    port = _free_port()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, tempfile.TemporaryFile() as log:
        usual = {**os.environ, "PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(
            server.command,
            cwd=ROOT,
            env={**usual, **server.environment, "TMPDIR": folder, server.port: str(port)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            started = Running(server, port, process)
            _wait(started, chips)
            yield started
        except RuntimeError as error:
            log.seek(0)
            lines = log.read().decode(errors="replace").splitlines()[-20:]
            raise RuntimeError("\n".join([f"{server.name}: {error}", *lines])) from error
        finally:
            stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ask the leader of a session to end, then kill whatever is left of it and its descendants."""
    known = family(process.pid)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    deadline_s = time.monotonic() + STOP_S
    while time.monotonic() < deadline_s and (process.poll() is None or any(map(_alive, known))):
        known |= family(process.pid)
        time.sleep(0.1)
    for member in known:
        with suppress(psutil.NoSuchProcess):
            member.kill()
    process.wait()


def family(leader: int) -> set[psutil.Process]:
    """Return the processes of a leader's session and every descendant of theirs."""
    session = {process for process in psutil.process_iter() if _session(process) == leader}
    descendants = {child for process in session for child in _descendants(process)}
    return set(filter(_alive, session | descendants))


def _descendants(process: psutil.Process) -> Sequence[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        return process.children(recursive=True)
    return ()


def _session(process: psutil.Process) -> int:
    with suppress(OSError):
        return os.getsid(process.pid)
    return -1


def _alive(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.status() != psutil.STATUS_ZOMBIE
    return False


def _cpu_s(process: psutil.Process) -> float:
    with suppress(psutil.Error):
        times = process.cpu_times()
        return float(times.user + times.system)
    return 0


def pss_mb(process: psutil.Process) -> float:
    """Return a process's memory, with its part of what it shares with others; 0 if it is gone."""
    with suppress(psutil.Error):
        return float(process.memory_full_info().pss) / 2**20
    return 0


def loop_ms(pid: int) -> float:
    """Return the processor time of a process's first thread; 0 where the system does not tell."""
    try:
        return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[0]) / 1e6
    except OSError:
        return 0


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _wait(started: Running, chips: Sequence[Chip]) -> None:
    deadline_s = time.monotonic() + START_S
    while True:
        if (status := started.process.poll()) is not None:
            raise RuntimeError(f"ended with status {status}")
        try:
            if started.server.ready:
                urllib.request.urlopen(f"{started.address}{started.server.ready}", timeout=60).close()
            return started.check(chips)
        except OSError as error:
            if time.monotonic() > deadline_s:
                detail = error.read().decode() if isinstance(error, urllib.error.HTTPError) else ""
                raise RuntimeError(f"no answer in {START_S} s: {error} {detail}") from error
        time.sleep(0.2)
