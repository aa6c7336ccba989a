"""What wrk prints, read; and a short load of a real server where wrk is installed."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from benchmarks.harness.load import Load, load, parse, repeat

HEADERS = {"Content-Type": "image/jpeg"}
OUTPUT = """Running 2s test @ http://127.0.0.1:1/predict
  1 threads and 16 connections
Requests/sec:   1250.00

{"requests": 2500, "duration_us": 2000000, "p50_us": 12345, "p99_us": 20500, "refused": 0, "broken": 0}
"""


def test_figures_are_read_in_their_units() -> None:
    assert parse(OUTPUT) == Load(requests_per_s=1250, p50_ms=12.345, p99_ms=20.5, requests=2500)


@pytest.mark.parametrize(
    ("spoiled", "reason"),
    [
        (OUTPUT.replace('"refused": 0', '"refused": 3'), "'refused': 3"),
        (OUTPUT.replace('"broken": 0', '"broken": 1'), "'broken': 1"),
        (OUTPUT.replace('"requests": 2500', '"requests": 0'), "0 answers"),
        ("unable to connect", "no result"),
    ],
)
def test_a_load_that_was_not_wholly_answered_is_no_figure(spoiled: str, reason: str) -> None:
    with pytest.raises(RuntimeError, match=reason):
        parse(spoiled)


@contextmanager
def listening(seen: list[bytes]) -> Iterator[str]:
    """A server that keeps what it was sent, takes bodies with "good" in them and refuses others."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            assert (self.path, self.headers["Content-Type"]) == ("/predict", "image/jpeg")
            seen.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200 if b"good" in seen[-1] else 503)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/predict"
        finally:
            server.shutdown()


@pytest.mark.skipif(not shutil.which("wrk"), reason="wrk is not installed")
def test_bodies_are_sent_in_turn(tmp_path: Path) -> None:
    seen: list[bytes] = []
    bodies = [tmp_path / "a", tmp_path / "b"]
    for file in bodies:
        file.write_bytes(b"good\0\r\n" + file.name.encode())
    with listening(seen) as url:
        measured = load(url, HEADERS, bodies, connections=1, seconds=1)
        assert set(seen[:2]) == {file.read_bytes() for file in bodies}
        assert seen[:2] == seen[2:4]
        assert 0 < measured.requests <= len(seen)
        (tmp_path / "b").write_bytes(b"bad")
        with pytest.raises(RuntimeError, match="refused"):
            load(url, HEADERS, bodies, connections=1, seconds=1)


def test_one_body_is_sent_again_and_again_without_wrk() -> None:
    seen: list[bytes] = []
    with listening(seen) as url:
        assert repeat(url, HEADERS, b"good", connections=2, seconds=2) > 0
        assert len(seen) > 2 and set(seen) == {b"good"}
        with pytest.raises(RuntimeError, match="answered 503"):
            repeat(url, HEADERS, b"bad", connections=1, seconds=0.2)
