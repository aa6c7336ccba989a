"""Resident memory after large buffers came and went, in processes of their own."""

import ctypes
import platform
import subprocess
import sys

import pytest

from service.contract.memory import LARGE_BYTES, give_back_large_buffers

# Buffers of rising size, each freed, raise the size from which glibc gives back; then small ones
# pin large free ones between them.
_SCRIPT = f"""
import sys
from pathlib import Path
from service.contract.memory import give_back_large_buffers
if sys.argv[1] == "fixed":
    give_back_large_buffers()
for _ in range(2):
    bytearray(24 << 20)
large, small = [], []
for _ in range(100):
    large.append(bytearray({2 * LARGE_BYTES}))
    small.append(bytearray(40_000))
del large
pages = int(Path("/proc/self/statm").read_text().split()[1])
print(pages * 4096 >> 20)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is another")
def test_large_buffers_go_back_to_the_system() -> None:
    resident_mb = {}
    for how in ("fixed", "as it comes"):
        done = subprocess.run(
            [sys.executable, "-c", _SCRIPT, how], capture_output=True, text=True, check=True
        )
        resident_mb[how] = int(done.stdout)
    assert resident_mb["as it comes"] - resident_mb["fixed"] > 60


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    give_back_large_buffers()


# Pieces as bodies come in, each too small to go back by itself, with something smaller among them.
_BURST = """
import time
from service.contract.memory import give_back_after_bursts, give_back_large_buffers, resident_bytes
give_back_large_buffers()
give_back_after_bursts(0.05)
before = resident_bytes()
pieces, kept = [], []
for index in range(3000):
    pieces.append(bytes(70_000))
    kept.append(bytes(700))
most = resident_bytes()
del pieces
for _ in range(200):
    time.sleep(0.05)
    if resident_bytes() - before < 30e6:
        break
print((most - before) >> 20, (resident_bytes() - before) >> 20)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is another")
def test_what_a_burst_leaves_goes_back() -> None:
    done = subprocess.run([sys.executable, "-c", _BURST], capture_output=True, text=True, check=True)
    most_mb, left_mb = map(int, done.stdout.split())
    assert most_mb > 150
    assert left_mb < 40
