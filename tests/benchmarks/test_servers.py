"""Servers are checked before they are believed, and leave nothing behind."""

import sys
import time
from pathlib import Path

import pytest

from benchmarks._servers import Chip, Server, family, running

SCRIPT = """
import os, signal, subprocess, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
# A worker that neither hears SIGTERM nor belongs to the server's session.
worker = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
subprocess.Popen([sys.executable, "-c", worker], start_new_session=True)
class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body.upper())
HTTPServer(("127.0.0.1", int(os.environ["THE_PORT"])), Handler).serve_forever()
"""


def server(script: str) -> Server:
    return Server(
        name="shouting",
        command=(sys.executable, "-c", script),
        environment={},
        port="THE_PORT",
        path="/",
        headers={"Content-Type": "text/plain"},
        labels=lambda body: {body.decode()},
    )


@pytest.fixture
def chip(tmp_path: Path) -> Chip:
    (tmp_path / "chip").write_text("trees")
    return Chip(tmp_path / "chip", {"TREES"})


def test_a_server_runs_and_ends_with_all_its_processes(chip: Chip, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks._servers.STOP_S", 1)
    with running(server(SCRIPT), [chip]) as started:
        everyone = family(started.process.pid)
        assert len(everyone) == 2
        assert started.memory_mb() > 5
        before_s = started.cpu_s()
        assert before_s > 0
        started.check([chip])
    deadline_s = time.monotonic() + 5
    while any(Path(f"/proc/{pid}/cmdline").exists() and _command(pid) for pid in everyone):
        assert time.monotonic() < deadline_s, "a process was left behind"
        time.sleep(0.05)


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()  # empty for one that has ended
    except OSError:
        return b""


def test_wrong_answers_are_refused(chip: Chip, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks._servers.STOP_S", 1)
    wrong = Chip(chip.file, {"water"})
    reason = r"shouting: answers \['TREES'\] for chip, must be \['water'\]"
    with pytest.raises(RuntimeError, match=reason), running(server(SCRIPT), [wrong]):
        pass


def test_a_server_that_ends_says_why(chip: Chip) -> None:
    script = "import sys; print('no such port'); sys.exit(3)"
    reason = r"(?s)ended with status 3.*no such port"
    with pytest.raises(RuntimeError, match=reason), running(server(script), [chip]):
        pass
