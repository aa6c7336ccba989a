"""What wrk prints, read; and a short load of a real server where wrk is installed."""

import shutil
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from benchmarks._load import Load, load, parse

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


@pytest.mark.skipif(not shutil.which("wrk"), reason="wrk is not installed")
def test_bodies_are_sent_in_turn(tmp_path: Path) -> None:
    seen: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            assert self.headers["Content-Type"] == "image/jpeg"
            seen.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200 if b"good" in seen[-1] else 503)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    bodies = [tmp_path / "a", tmp_path / "b"]
    for file in bodies:
        file.write_bytes(b"good\0\r\n" + file.name.encode())
    headers = {"Content-Type": "image/jpeg"}
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever).start()
        try:
            url = f"http://127.0.0.1:{server.server_port}/"
            measured = load(url, headers, bodies, connections=1, seconds=1)
            assert set(seen[:2]) == {file.read_bytes() for file in bodies}
            assert seen[:2] == seen[2:4]
            assert 0 < measured.requests <= len(seen)
            (tmp_path / "b").write_bytes(b"bad")
            with pytest.raises(RuntimeError, match="refused"):
                load(url, headers, bodies, connections=1, seconds=1)
        finally:
            server.shutdown()
