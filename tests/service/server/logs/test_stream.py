"""A log whose reader stands still or is gone, alone and below a whole service."""

import os
import re
import time

import httpx2

from service.contract.bundle import Bundle
from service.server.logs.stream import PATIENCE_MS, LogStream
from tests.service.server.logs.test_requests import process

LINE = "x" * 999 + "\n"


def test_a_reader_that_stands_still_is_waited_for_once() -> None:
    reads, writes = os.pipe()
    stream = LogStream(writes)
    while not stream.dropped:
        stream.write(LINE)
    began_s = time.perf_counter()
    for _ in range(1000):
        stream.write(LINE)
    assert time.perf_counter() - began_s < 500 * PATIENCE_MS / 1000  # half of what each would cost
    assert stream.dropped == 1001
    held = os.read(reads, 1 << 20)
    assert len(held) > 1 << 15 and set(held.split(b"\n")) == {LINE[:-1].encode(), b""}
    stream.write("on\n")
    assert (stream.dropped, os.read(reads, 1 << 20)) == (0, b"on\n")
    os.close(reads)
    os.close(writes)


def test_a_line_that_was_cut_is_ended_before_the_next() -> None:
    reads, writes = os.pipe()
    stream = LogStream(writes)
    stream.write("y" * (1 << 20) + "\n")
    assert stream.dropped == 1
    while set(read := os.read(reads, 1 << 16)) == {ord("y")} and len(read) == 1 << 16:
        stream.write("next\n")
        if not stream.dropped:
            break
    stream.write("last\n")
    os.close(writes)
    rest = b""
    while read := os.read(reads, 1 << 16):
        rest += read
    os.close(reads)
    *before, last = rest.decode().splitlines()
    assert last == "last"
    assert set("".join(before)) <= set("ynext")


def test_a_reader_that_is_gone_costs_its_lines_alone() -> None:
    reads, writes = os.pipe()
    os.close(reads)
    stream = LogStream(writes)
    stream.write(LINE)
    assert stream.dropped == 1
    os.close(writes)


def test_who_reads_the_log_no_more_holds_up_nobody(colours: Bundle) -> None:
    with process(colours) as service, httpx2.Client(base_url=service.url, timeout=60) as client:
        assert service.process.stderr
        service.process.stderr.close()
        for _ in range(3):
            assert client.get("/health/ready").status_code == 200
        service.process.terminate()
        assert service.process.wait(60) == 0


def test_nor_does_who_stands_still(colours: Bundle) -> None:
    with process(colours) as service, httpx2.Client(base_url=service.url, timeout=60) as client:
        assert service.process.stderr
        log = service.process.stderr.fileno()
        for _ in range(600):  # a pipe holds some 300 lines
            assert client.get("/health/ready").status_code == 200
        os.read(log, 1 << 20)
        told = b""
        while not (found := re.search(rb'"dropped":(\d+)}', told)):  # by the first line that goes out again
            assert client.get("/labels").status_code == 200
            told = os.read(log, 1 << 20)
        assert int(found[1]) > 100
        service.process.terminate()
        assert service.process.wait(60) == 0
