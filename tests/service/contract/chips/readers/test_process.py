"""The reader process, spoken to as its parent does; what ends it: test_pool.py."""

import io
import re
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from benchmarks.harness.damage import photo, pillows
from service.contract.chips.readers.messages import receive_into, receive_line, send
from service.contract.chips.readers.process import ALARM_S, LEAST_S, MEMORY_BYTES, limit_s
from service.contract.manifest import InputSpec

SPEC = InputSpec(bands=("red", "green", "blue"), height=64, width=64)
ROOT = Path(__file__).parents[5]


@contextmanager
def reader(
    address_space_kib: int | str = "unlimited", ends: int = 0
) -> Iterator[tuple[socket.socket, "subprocess.Popen[bytes]"]]:
    here, there = socket.socketpair()
    with here, there:
        run = f"exec {sys.executable} -m service.contract.chips.readers.process"
        process = subprocess.Popen(
            ["sh", "-c", f"ulimit -v {address_space_kib}; {run}"],
            stdin=there.fileno(),
            cwd=ROOT,
        )
        there.close()
        assert receive_line(here) == {}  # ready
        yield here, process
    assert process.wait(60) == ends  # 0: by itself, once the other end is closed


def test_it_answers_one_request_after_the_other_and_ends_with_its_socket() -> None:
    stream = io.BytesIO()
    pixels_HWC = np.random.default_rng(0).integers(0, 255, (50, 60, 3), np.uint8)
    tifffile.imwrite(stream, pixels_HWC, photometric="rgb")
    good = stream.getvalue()
    with reader() as (connection, _):
        for data in (good, good[:100], b"II*\0", good):
            send(connection, {"spec": SPEC.model_dump(), "bytes": len(data)}, data)
            line = receive_line(connection)
            if data is good:
                assert (line["shape"], line["dtype"], line["bands"]) == (
                    [50, 60, 3],
                    "uint8",
                    list(SPEC.bands),
                )
                found_HWC = np.empty((50, 60, 3), np.uint8)
                receive_into(connection, found_HWC.data.cast("B"))
                np.testing.assert_array_equal(found_HWC, pixels_HWC)
            else:
                assert line["error"] == "CorruptChip"
                assert "whole file" in line["detail"]


def test_it_is_the_first_to_go_when_memory_is_short_and_leaves_no_core() -> None:
    with reader() as (_, process):
        assert Path(f"/proc/{process.pid}/oom_score_adj").read_text().strip() == "1000"
        limits = Path(f"/proc/{process.pid}/limits").read_text()
        assert re.search(r"Max core file size +0 ", limits)
        assert re.search(rf"Max address space +{MEMORY_BYTES} ", limits)


def test_a_lower_limit_is_the_machines_and_not_the_chips_fault() -> None:
    stream = io.BytesIO()
    tifffile.imwrite(stream, np.zeros((4096, 4096, 3), np.uint8), photometric="rgb", compression="zlib")
    data = stream.getvalue()
    with reader(200_000) as (connection, _):
        for _ in range(2):
            send(connection, {"spec": SPEC.model_dump(), "bytes": len(data)}, data)
            line = receive_line(connection)
            assert line["error"] == "OutOfMemory"


def encoded(kind: str, side_px: int) -> bytes:
    stream = io.BytesIO()
    if kind == "TIFF":
        tifffile.imwrite(stream, np.zeros((side_px, side_px, 3), np.uint8), photometric="rgb")
    else:
        Image.new("RGB", (side_px, side_px)).save(stream, kind)
    return stream.getvalue()


@pytest.mark.parametrize("kind", ["TIFF", "WEBP", "JPEG2000"])
def test_a_file_may_take_the_time_that_its_size_explains(kind: str) -> None:
    assert LEAST_S < limit_s(encoded(kind, 48)) < LEAST_S + 0.1
    assert 10 < limit_s(encoded(kind, 2560)) < 30


def test_whatever_it_claims_a_file_may_take_no_more_than_any() -> None:
    stream = io.BytesIO()
    tifffile.imwrite(stream, np.zeros((48, 48, 3), np.uint8), photometric="rgb", bigtiff=True)
    data = bytearray(stream.getvalue())
    for tag in (256, 257, 277):  # its sides and its samples
        at = data.index(struct.pack("<H", tag), 16)
        data[at + 2 : at + 20] = struct.pack("<HQQ", 16, 1, (1 << 64) - 1)
    assert limit_s(bytes(data)) == ALARM_S


def test_a_jpeg_2000_that_claims_more_layers_than_it_has_data_is_ended() -> None:
    """A few kilobytes that would keep the decoder busy for seven seconds here, or for minutes."""
    data = bytearray(pillows("JPEG2000", photo()))
    style = data.index(b"\xff\x52")  # COD: how it is coded
    length, levels = int.from_bytes(data[style + 2 : style + 4]), data[style + 9]
    data[style + 4] |= 1  # with precincts of its own, as small as can be
    data[style + 6 : style + 8] = b"\xff\xff"  # layers
    data[style + 2 + length : style + 2 + length] = b"\x11" * (levels + 1)
    data[style + 2 : style + 4] = (length + levels + 1).to_bytes(2)
    with reader(ends=-signal.SIGPROF) as (connection, _):
        send(connection, {"spec": SPEC.model_dump(), "bytes": len(data)}, bytes(data))
        with pytest.raises(EOFError):
            receive_line(connection)
