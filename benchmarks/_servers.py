"""Start a server, wait for right answers, read its memory, stop every process it started.

A server gets a session of its own. Some start processes in further sessions or leave workers
behind, so all descendants are looked up and stopped too.
"""

import os
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
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


@dataclass(frozen=True)
class Chip:
    """A request's body, and the labels that its answer must hold."""

    file: Path
    labels: set[str]


class Running:
    """A server that answers."""

    def __init__(self, server: Server, port: int, process: subprocess.Popen[bytes]) -> None:
        self.server, self.port, self.process = server, port, process
        self.url = f"http://127.0.0.1:{port}{server.path}"

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
        """Return the processor time that all its processes have used, which neighbours hardly change."""
        return sum(map(_cpu_ticks, family(self.process.pid))) / os.sysconf("SC_CLK_TCK")

    def memory_mb(self) -> float:
        """Return the memory of all its processes; what several share counts once (PSS)."""
        return sum(map(pss_mb, family(self.process.pid)))


@contextmanager
def running(server: Server, chips: Sequence[Chip]) -> Iterator[Running]:
    """Run a server that answers these chips rightly.

    Raises:
        RuntimeError: it ends by itself, answers wrongly, or not in time; with its last lines.
    """
    port = _free_port()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, tempfile.TemporaryFile() as log:
        fixed = {"PYTHONPATH": str(ROOT), "TMPDIR": folder, server.port: str(port)}
        process = subprocess.Popen(
            server.command,
            cwd=ROOT,
            env={**os.environ, **server.environment, **fixed},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            started = Running(server, port, process)
            _wait(started, process, chips)
            yield started
        except RuntimeError as error:
            log.seek(0)
            lines = log.read().decode(errors="replace").splitlines()[-20:]
            raise RuntimeError("\n".join([f"{server.name}: {error}", *lines])) from error
        finally:
            stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ask a server to end, then kill what is left of it and of all that it started."""
    known = family(process.pid)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    deadline_s = time.monotonic() + STOP_S
    while time.monotonic() < deadline_s and (process.poll() is None or any(map(_alive, known))):
        known |= family(process.pid)
        time.sleep(0.1)
    for pid in known:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()


def family(leader: int) -> set[int]:
    """Return the processes of a leader's session and every descendant of theirs."""
    table = dict(_processes())
    found = {pid for pid, (_, session) in table.items() if session == leader}
    while more := {pid for pid, (parent, _) in table.items() if parent in found} - found:
        found |= more
    return found


def _processes() -> Iterator[tuple[int, tuple[int, int]]]:
    """Yield (process, (parent, session)) of everything that runs."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            # The name before it stands in brackets and may hold spaces.
            state, parent, _, session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
            if state != "Z":
                yield int(folder.name), (int(parent), int(session))


def _alive(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def _cpu_ticks(pid: int) -> int:
    with suppress(OSError):
        return sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]))
    return 0


def pss_mb(pid: int) -> float:
    """Return a process's memory, with its share of what it holds together with others; 0 if it is gone."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _wait(started: Running, process: subprocess.Popen[bytes], chips: Sequence[Chip]) -> None:
    deadline_s = time.monotonic() + START_S
    while True:
        if process.poll() is not None:
            raise RuntimeError(f"ended with status {process.returncode}")
        try:
            return started.check(chips)
        except OSError as error:
            if time.monotonic() > deadline_s:
                detail = error.read().decode() if isinstance(error, urllib.error.HTTPError) else ""
                raise RuntimeError(f"no answer in {START_S} s: {error} {detail}") from error
        time.sleep(0.2)
