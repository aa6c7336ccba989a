"""`python -m service` as its own process: what an operator and a container see."""

import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx2
import pytest

from service.contract.bundle import Bundle
from tests.kit.fakes import RED, encoded, picture

ROOT = Path(__file__).parents[2]
RED_PNG = encoded(picture(RED), "PNG")


def command(folder: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "service", "--bundle", str(folder), "--port", "0", *options]


@contextmanager
def running(bundle: Bundle) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process that serves, and its port as it printed it."""
    options = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True, "cwd": ROOT}
    with subprocess.Popen(command(bundle.folder, "--device", "cpu"), **options) as process:  # type: ignore[call-overload]
        try:
            line = next(line for line in process.stderr if "serving " in line)
            found = re.fullmatch(
                r"serving colours 1\.2\.3: 3 member\(s\), float32 on cpu, "
                r"at http://127\.0\.0\.1:(\d+) .*",
                json.loads(line)["event"],
            )
            assert found, line
            yield process, int(found[1])
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_the_request_in_progress_end(colours: Bundle, number: signal.Signals) -> None:
    body = b""
    for index in range(20):
        head = f'--edge\r\nContent-Disposition: form-data; name="chip"; filename="{index}"\r\n\r\n'
        body += head.encode() + RED_PNG + b"\r\n"
    body += b"--edge--\r\n"
    with running(colours) as (process, port):
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
            connection.putrequest("POST", "/predict")
            connection.putheader("Content-Type", "multipart/form-data; boundary=edge")
            connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body[:1000])
            assert httpx2.get(f"http://127.0.0.1:{port}/health/ready").status_code == 200
            process.send_signal(number)
            wait_until_refused(port)
            connection.send(body[1000:])
            response = connection.getresponse()
            assert response.status == 200
            assert response.read().count(b'"reddish","probability"') == 20
        assert process.wait(20) == 0
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()


def wait_until_refused(port: int) -> None:
    deadline_s = time.monotonic() + 10
    while time.monotonic() < deadline_s:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except ConnectionError:  # refused, or reset if it was still in the listener's queue
            return
        time.sleep(0.01)
    raise AssertionError("the port stayed open after the signal")


def test_a_broken_bundle_is_one_line_and_status_1(tmp_path: Path) -> None:
    done = subprocess.run(command(tmp_path), capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.returncode == 1
    assert done.stdout == ""
    assert re.fullmatch(r"chipvote: .*bundle\.json: cannot be read .*\n", done.stderr)
