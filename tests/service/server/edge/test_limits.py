"""What the process's limit of open files allows, in processes that have their own."""

import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import httpx2
import pytest

from service.server.edge.limits import RESERVE, Limits, limits
from service.settings import Settings
from tests.kit.fakes import RED, encoded, picture
from tests.kit.serving import ROOT
from tests.kit.wire import connected


def with_open_files(limit: str, *arguments: str) -> subprocess.Popen[str]:
    """Start Python under a limit of the shell's `ulimit`."""
    return subprocess.Popen(
        ["bash", "-c", f'ulimit {limit} && exec {sys.executable} "$@"', "bash", *arguments],
        cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


@contextmanager
def service_with_open_files(limit: int, *options: str) -> Iterator[tuple[httpx2.Client, str, int]]:
    """A service, what it says at start, and its process' number."""
    process = with_open_files(f"-n {limit}", "-m", "service", "--port", "0", *options)
    assert process.stdout is not None
    try:
        said = ""
        while "connections" not in said:
            line = process.stdout.readline()
            assert line, said
            said += line
        address = re.search(r"http://[\d.:]+", said)
        assert address is not None
        with httpx2.Client(base_url=address[0], timeout=60) as client:
            yield client, said, process.pid
    finally:
        process.terminate()
        process.communicate()


def test_settings_are_the_limits() -> None:
    found = limits(Settings(max_connections=40, max_url_bytes=100, stall_s=2, least_rate=50))
    assert isinstance(found, Limits)
    assert (found.connections, found.connections_per_address, found.url_bytes) == (40, 20, 100)
    assert found.least_bytes == 100
    assert limits(Settings(max_connections_per_address=7)).connections_per_address == 7


@pytest.mark.parametrize(("limit", "connections"), [("-Sn 200", 1000), ("-n 300", 300 - RESERVE)])
def test_a_soft_limit_is_raised_and_a_hard_one_kept(limit: str, connections: int) -> None:
    script = (
        "from service.contract.limits import check_limits; from service.settings import Settings; "
        "from service.server.edge.limits import limits; check_limits(); print(limits(Settings()).connections)"
    )
    printed, _ = with_open_files(limit, "-c", script).communicate()
    assert printed == f"{connections}\n"


def test_silent_connections_beyond_the_open_files_shut_nobody_out(settings: Settings) -> None:
    with (
        service_with_open_files(256, "--bundle", str(settings.bundle)) as (client, said, _),
        ExitStack() as stack,
    ):
        assert f"up to {256 - RESERVE} connections, {(256 - RESERVE) // 2} from one address" in said
        for _ in range(400):
            stack.enter_context(connected(client))
        assert client.get("/health/live").status_code == 200


def test_whoever_has_asked_is_answered_though_all_came_while_nothing_was_read(settings: Settings) -> None:
    """Their requests wait to be read when others want their places."""
    with (
        service_with_open_files(256, "--bundle", str(settings.bundle)) as (client, _, process),
        ExitStack() as stack,
    ):
        os.kill(process, signal.SIGSTOP)
        chip = encoded(picture(RED), "PNG")
        head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: {len(chip)}"
        asked = f"{head}\r\n\r\n".encode() + chip
        wires = []
        for host in range(1, 201):
            if host == 256 - RESERVE:
                os.kill(process, signal.SIGCONT)
            wires.append(stack.enter_context(connected(client, asked, f"127.0.1.{host}")))
        statuses = Counter(wire.recv(1 << 10)[9:12] for wire in wires)
    assert statuses[b"200"] >= 256 - RESERVE
    assert statuses[b"200"] + statuses[b"503"] == len(wires)
