"""Servers are checked before they are believed, and leave nothing behind."""

import sys
import urllib.request
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from benchmarks.harness.servers import Chip, Server, family, running

SCRIPT = """
import os, signal, subprocess, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
# A worker that neither hears SIGTERM nor belongs to the server's session.
worker = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
subprocess.Popen([sys.executable, "-c", worker], start_new_session=True)
asked = set()
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        # Ready at the second time of asking.
        self.send_response(200 if self.path in asked else 503)
        self.end_headers()
        asked.add(self.path)
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
    monkeypatch.setattr("benchmarks.harness.servers.STOP_S", 1)
    with running(server(SCRIPT), [chip]) as started:
        everyone = family(started.process.pid)
        assert len(everyone) == 2
        assert started.memory_mb() > 5
        before_s = started.cpu_s()
        assert before_s > 0
        started.check([chip])
    assert not psutil.wait_procs(everyone, timeout=60)[1], "a process was left behind"


def test_wrong_answers_are_refused(chip: Chip, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.harness.servers.STOP_S", 1)
    wrong = Chip(chip.file, {"water"})
    reason = r"shouting: answers \['TREES'\] for chip, must be \['water'\]"
    with pytest.raises(RuntimeError, match=reason), running(server(SCRIPT), [wrong]):
        pass


def test_a_server_that_ends_says_why(chip: Chip) -> None:
    script = "import sys; print('no such port'); sys.exit(3)"
    reason = r"(?s)ended with status 3.*no such port"
    with pytest.raises(RuntimeError, match=reason), running(server(script), [chip]):
        pass


def test_a_server_that_says_when_it_is_ready_needs_no_chips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.harness.servers.STOP_S", 1)
    telling = replace(server(SCRIPT), ready="/ready")
    with running(telling, []) as started:
        assert urllib.request.urlopen(f"{started.address}/ready", timeout=60).status == 200
