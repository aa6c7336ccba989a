"""Resident memory after large buffers came and went, in processes of their own."""

import ctypes
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from service.contract.memory import LARGE_BYTES, available_bytes, give_back_large_buffers

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
import sys, time
from service.contract import memory
from service.contract.memory import give_back_after_bursts, give_back_large_buffers, resident_bytes
if sys.argv[1] == "busy":
    memory.CALM_BYTES = -1  # it never is
give_back_large_buffers()
give_back_after_bursts(0.05, 0.5)
before = resident_bytes()
pieces, kept = [], []
for index in range(3000):
    pieces.append(bytes(70_000))
    kept.append(bytes(700))
most = resident_bytes()
del pieces
for _ in range(400):
    time.sleep(0.03)
    if resident_bytes() - before < 35e6:
        break
print((most - before) >> 20, (resident_bytes() - before) >> 20)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is another")
@pytest.mark.parametrize("afterwards", ["calm", "busy"])
def test_what_a_burst_leaves_goes_back(afterwards: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _BURST, afterwards], capture_output=True, text=True, check=True
    )
    most_mb, left_mb = map(int, done.stdout.split())
    assert most_mb > 150
    assert left_mb < 45


def test_what_a_control_group_leaves_bounds_what_is_available(tmp_path: Path) -> None:
    own, meminfo, group = tmp_path / "own", tmp_path / "meminfo", tmp_path / "groups" / "one"
    own.write_text("0::/one\n")
    meminfo.write_text("MemTotal: 9000 kB\nMemAvailable: 8000 kB\n")
    group.mkdir(parents=True)

    def available() -> int | None:
        return available_bytes(meminfo, tmp_path / "groups", own)

    assert available() == 8000 << 10
    (group / "memory.max").write_text("5000000\n")
    (group / "memory.current").write_text("3000000\n")
    assert available() == 2_000_000
    (group / "memory.stat").write_text("anon 1\ninactive_file 500000\n")  # the system drops these at need
    assert available() == 2_500_000
    (group / "memory.current").write_text("7000000\n")
    assert available() == 0
    (group / "memory.max").write_text("max\n")
    assert available() == 8000 << 10
    assert available_bytes(tmp_path / "none", tmp_path / "none", tmp_path / "none") is None
