"""What the process says, heard over its own socket."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.contract.chips.readers.messages import receive_into, receive_line, send
from service.contract.chips.readers.pool import environment
from service.contract.manifest import InputSpec
from service.server.scenes import process
from tests.kit.fakes import SIZE_PX

pytest.importorskip("rasterio")

from tests.kit.scenes import NORTH_UP, UTM, noise, write_scene

SPEC = InputSpec(bands=("red", "green", "blue"), height=SIZE_PX, width=SIZE_PX)


def heard(path: Path, stride: float = 1.0) -> tuple[list[Any], list[bytes], int]:
    """What it tells of a scene, the chips, and its exit code."""
    lines, chips = [], []
    own, other = socket.socketpair()
    request = {"address": str(path), "filename": "a.tif", "stride": stride, "resolution_m": None}
    with (
        own,
        subprocess.Popen(
            [sys.executable, "-P", "-m", process.__name__], stdin=other.fileno(), env=environment()
        ) as running,
    ):
        other.close()
        own.settimeout(60)
        send(own, request | {"spec": SPEC.model_dump(mode="json")})
        while True:
            try:
                line = receive_line(own)
            except (EOFError, ConnectionResetError):
                break
            lines.append(line)
            if "window" in line and "error" not in line:
                chip = bytearray(SIZE_PX * SIZE_PX * 3)
                receive_into(own, memoryview(chip))
                chips.append(bytes(chip))
        return lines, chips, running.wait(60)


def test_it_tells_of_the_scene_and_then_each_window_with_its_chip(tmp_path: Path) -> None:
    pixels_HWC = noise(2 * SIZE_PX, 3 * SIZE_PX)
    path = write_scene(tmp_path / "a.tif", pixels_HWC, photometric="RGB")
    (scene, *windows), chips, code = heard(path)
    assert code == 0
    assert (scene["filename"], scene["width"], scene["height"]) == ("a.tif", 3 * SIZE_PX, 2 * SIZE_PX)
    assert (scene["crs"], scene["windows"]) == (UTM, 6)
    assert scene["resolution_m"] == pytest.approx(NORTH_UP.a, rel=1e-3)
    assert len(windows) == len(chips) == 6
    for line, chip in zip(windows, chips, strict=True):
        column, row = line["window"]["column"], line["window"]["row"]
        cut_HWC = pixels_HWC[row : row + SIZE_PX, column : column + SIZE_PX]
        assert chip == cut_HWC.tobytes()
        assert line["footprint"]["type"] == "Polygon"


def test_a_window_that_shows_nothing_has_no_chip(tmp_path: Path) -> None:
    shown_HW = np.ones((SIZE_PX, 2 * SIZE_PX), np.bool_)
    shown_HW[:, SIZE_PX:] = False
    path = write_scene(tmp_path / "a.tif", noise(SIZE_PX, 2 * SIZE_PX), mask_HW=shown_HW, photometric="RGB")
    (_, first, second), chips, _ = heard(path)
    assert "error" not in first and len(chips) == 1
    assert second["error"] == "Skipped"


def test_what_is_no_scene_is_said_in_words(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(b"II*\0 and no more")
    ((line,), _, code) = heard(path)
    assert (line["error"], code) == ("NotAScene", 0)
    assert str(tmp_path) not in line["detail"]


def test_it_ends_when_nobody_listens(tmp_path: Path) -> None:
    path = write_scene(tmp_path / "a.tif", noise(20 * SIZE_PX, 20 * SIZE_PX), photometric="RGB")
    own, other = socket.socketpair()
    with subprocess.Popen(
        [sys.executable, "-P", "-m", process.__name__], stdin=other.fileno(), env=environment()
    ) as running:
        other.close()
        request = {"address": str(path), "filename": None, "stride": 1.0, "resolution_m": None}
        send(own, request | {"spec": SPEC.model_dump(mode="json")})
        receive_line(own)
        own.close()
        assert running.wait(60) == 0


def test_its_limits_are_its_own() -> None:
    script = (
        "import os, resource; from service.server.scenes.process import _limit; _limit(); "
        "print(resource.getrlimit(resource.RLIMIT_AS)[0], resource.getrlimit(resource.RLIMIT_FSIZE)[0], "
        "os.getpriority(os.PRIO_PROCESS, 0))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment(), check=True
    )
    memory, written, niceness = map(int, done.stdout.split())
    assert 0 < memory <= process.MEMORY_BYTES
    assert written == 0
    assert niceness > os.getpriority(os.PRIO_PROCESS, 0) or niceness == 19
