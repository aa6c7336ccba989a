"""`python -m service` as its own process: what an operator and a container see."""

import http.client
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from types import MappingProxyType

import httpx2
import pytest

from service.contract.bundle import Bundle
from tests.kit.fakes import RED, encoded, picture
from tests.kit.serving import DEFAULT_BUNDLE

ROOT = Path(__file__).parents[2]
RED_PNG = encoded(picture(RED), "PNG")


def command(folder: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "service", "--bundle", str(folder), "--port", "0", *options]


@contextmanager
def running(
    bundle: Bundle, limits: Mapping[int, tuple[int, int]] = MappingProxyType({}), folder: Path = ROOT
) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process that serves, and its port as it printed it."""

    def limit() -> None:
        for kind, both in limits.items():
            resource.setrlimit(kind, both)

    options = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True, "cwd": folder}
    options["preexec_fn"] = limit
    if folder != ROOT:
        at_home = {"HOME": str(folder), "TMPDIR": str(folder)}
        options["env"] = {**os.environ, "PYTHONPATH": str(ROOT), **at_home}
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
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
            connection.putrequest("POST", "/predict")
            connection.putheader("Content-Type", "multipart/form-data; boundary=edge")
            connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body[:1000])
            assert httpx2.get(f"http://127.0.0.1:{port}/health/ready", timeout=60).status_code == 200
            process.send_signal(number)
            wait_until_refused(port)
            connection.send(body[1000:])
            response = connection.getresponse()
            assert response.status == 200
            assert response.read().count(b'"reddish","probability"') == 20
        assert process.wait(60) == 0
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()


def ended(
    *options: str, folder: Path = DEFAULT_BUNDLE, limits: Mapping[int, int] = MappingProxyType({})
) -> str:
    """The last words of a process that does not come up."""

    def limit() -> None:
        for kind, most in limits.items():
            resource.setrlimit(kind, (most, most))

    arguments = [*command(folder, "--device", "cpu"), *options]
    done = subprocess.run(
        arguments, capture_output=True, text=True, cwd=ROOT, timeout=300, check=False, preexec_fn=limit
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    return line


def test_a_port_in_use_is_said_before_anything_is_loaded(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as occupied:
        port = occupied.getsockname()[1]
        said = ended("--port", str(port), folder=tmp_path / "there is no bundle")
    assert f"CHIPVOTE_PORT={port}: cannot listen there (Address already in use)" in said


@pytest.mark.parametrize(
    ("kind", "most", "says"),
    [
        (resource.RLIMIT_NOFILE, 32, "may open 32 files, and needs 256 or more"),
        (resource.RLIMIT_AS, 1_000_000 << 10, "may use 976 MiB of addresses, and needs"),
    ],
)
def test_too_low_a_limit_is_named_with_its_fix(kind: int, most: int, says: str) -> None:
    said = ended(limits={kind: most})
    assert said.startswith("chipvote: this process ")
    assert says in said
    assert "`ulimit -" in said


def test_as_many_files_are_opened_as_may_be(colours: Bundle) -> None:
    with running(colours, limits={resource.RLIMIT_NOFILE: (64, 4096)}) as (process, _):
        assert resource.prlimit(process.pid, resource.RLIMIT_NOFILE) == (4096, 4096)


@pytest.mark.parametrize(("number", "process_1"), [(signal.SIGTERM, True), (signal.SIGINT, False)])
def test_a_signal_while_loading_ends_it_at_once(number: signal.Signals, process_1: bool) -> None:
    namespace = ["unshare", "--pid", "--fork", "--kill-child"] if process_1 else []
    if process_1 and subprocess.run([*namespace, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this system lets nobody make a process 1")
    with subprocess.Popen(
        [*namespace, *command(DEFAULT_BUNDLE, "--device", "cpu")], stderr=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stderr is not None
        next(line for line in process.stderr if "first member" in line)
        child = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        began_s = time.monotonic()
        os.kill(int(child[0]) if process_1 else process.pid, number)
        assert process.wait(60) == 128 + number
        assert time.monotonic() - began_s < 20
        said = process.stderr.read()
    assert f"chipvote: ended by {number.name} while starting" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("arguments", [["labels"], ["labels", "--json"], ["check"]])
def test_a_full_disk_is_said(colours: Bundle, arguments: list[str]) -> None:
    script = "from service import cli; cli.main()"
    environment = {**os.environ, "CHIPVOTE_BUNDLE": str(colours.folder), "CHIPVOTE_DEVICE": "cpu"}
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", script, *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            timeout=300,
            env=environment,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == (
        "chipvote: the output cannot be written (No space left on device); make room, or write it elsewhere\n"
    )


def test_it_leaves_nothing_in_the_home_folder(colours: Bundle, tmp_path: Path) -> None:
    """As ONNX Runtime does, which keeps there what it would send to its maker."""
    with running(colours, folder=tmp_path) as (process, port):
        answer = httpx2.post(f"http://127.0.0.1:{port}/predict", files={"chip": RED_PNG}, timeout=60)
        assert answer.status_code == 200
        process.terminate()
        assert process.wait(60) == 0
    assert list(tmp_path.rglob("*")) == []


def test_it_serves_where_nothing_can_be_written(colours: Bundle) -> None:
    """Nobody makes a file in /proc, and no file anywhere may get a byte."""
    limits = {resource.RLIMIT_FSIZE: (0, 0)}
    with running(colours, limits, folder=Path("/proc")) as (process, port):
        for kind in ("PNG", "TIFF", "WEBP"):  # the last two by a process of their own
            data = encoded(picture(RED), kind)
            answer = httpx2.post(f"http://127.0.0.1:{port}/predict", files={"chip": data}, timeout=60).json()
            assert answer["predictions"][0]["labels"] == ["reddish"]
        process.terminate()
        assert process.wait(60) == 0


def wait_until_refused(port: int) -> None:
    deadline_s = time.monotonic() + 60
    while time.monotonic() < deadline_s:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except ConnectionError:  # refused, or reset if it was still in the listener's queue
            return
        time.sleep(0.01)
    raise AssertionError("the port stayed open after the signal")


def test_a_broken_bundle_is_one_line_and_status_1(tmp_path: Path) -> None:
    done = subprocess.run(command(tmp_path), capture_output=True, text=True, cwd=ROOT, timeout=300)
    assert done.returncode == 1
    assert done.stdout == ""
    assert re.fullmatch(r"chipvote: .*bundle\.json: cannot be read .*\n", done.stderr)
