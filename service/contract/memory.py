"""How this process's C library gives memory back, so that it does not keep what was there once.

glibc takes large buffers from the system and gives them back when they are freed. But every time
one is, it raises the size from which it does so to that buffer's, up to 32 MiB: soon pictures of
any size lie in the heaps of many threads, between what stays, and hold on to them. A fixed size
ends that: soaked with mixed chips for ten minutes (`benchmarks/serving/soak.py`), the service's own
process grew by 3.9 MB a minute without it, and by 1.0 with it. Bodies come in small pieces, which
leave holes in the heaps; after a burst of them, the holes are given back too. And there are as many
heaps as processors, not eight times as many: more threads never allocate at a time.

Knows the C library, and nothing of what needs memory.
"""

import ctypes
import os
import threading
import time
from contextlib import suppress
from pathlib import Path

from service.contract.control_groups import MOUNTED, OWN, folders, lines
from service.contract.processors import processors

# Above a chip of 256×256 px and several bands: chips come too often to ask the system each time.
LARGE_BYTES = 1 << 19
# Free memory at a heap's end that is kept: less would ask the system again and again.
KEPT_BYTES = 1 << 25

EVERY_S, GROWTH_BYTES = 5.0, 1 << 23  # how often free memory is looked for, and when it is worth it
CALM_BYTES = 1 << 20  # by which memory changes when little is done
BUSY_S = 60.0  # so long is calm waited for: work that never ends must not keep it either

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # of mallopt, in malloc.h
_STATM, _MEMINFO = Path("/proc/self/statm"), Path("/proc/meminfo")

# A control group's bound, what is used of it, and the files in that which the system can drop.
_GROUPS = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def give_back_large_buffers() -> None:
    """Fix the size from which buffers go back to the system, and the number of heaps.

    Does nothing without glibc. Threads that have a heap keep it, so this comes before they begin.
    """
    with suppress(AttributeError, OSError, TypeError):
        library = ctypes.CDLL(None)
        library.mallopt(_MMAP_THRESHOLD, LARGE_BYTES)
        library.mallopt(_TRIM_THRESHOLD, KEPT_BYTES)
        library.mallopt(_ARENA_MAX, processors())


def give_back_after_bursts(every_s: float = EVERY_S, busy_s: float = BUSY_S) -> None:
    """Start a thread that gives free memory back where more is held than there was.

    It does so when it is calm, or has not been for long.

    A body comes in small pieces. They are freed, but what was allocated among them and stays keeps
    the heaps from shrinking by themselves.
    """
    arguments = (every_s, busy_s, resident_bytes())
    threading.Thread(target=_trim, args=arguments, name="memory", daemon=True).start()


def resident_bytes() -> int:
    """Return this process's memory; 0 where the system does not tell."""
    try:
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
    except OSError:
        return 0


def available_bytes(meminfo: Path = _MEMINFO, mounted: Path = MOUNTED, own: Path = OWN) -> int | None:
    """Return how much more this process can take, by the machine and by its control groups.

    None where the system does not tell.
    """
    left = [int(line.split()[1]) << 10 for line in lines(meminfo) if line.startswith("MemAvailable:")]
    for folder in folders("memory", mounted, own):
        left += _left_bytes(folder)
    return min(left, default=None)


def _left_bytes(folder: Path) -> list[int]:
    """Return how much a group may still take; nothing without a bound."""
    for bound, used, dropped in _GROUPS:
        try:
            most_bytes, used_bytes = (int((folder / name).read_text()) for name in (bound, used))
        except (OSError, ValueError):  # no such group, or "max"
            continue
        facts = dict(line.split(" ", 1) for line in lines(folder / "memory.stat"))
        return [max(0, most_bytes - used_bytes + int(facts.get(dropped, 0)))]
    return []


def _trim(every_s: float, busy_s: float, least_bytes: int) -> None:
    with suppress(AttributeError, OSError, TypeError):
        library = ctypes.CDLL(None)
        before_bytes = trimmed_bytes = 0
        trimmed_s = time.monotonic()
        while True:
            time.sleep(every_s)
            now_bytes = resident_bytes()
            calm = abs(now_bytes - before_bytes) < CALM_BYTES  # while it works, it needs what it has
            if (
                (calm or time.monotonic() > trimmed_s + busy_s)
                and now_bytes > least_bytes + GROWTH_BYTES
                and abs(now_bytes - trimmed_bytes) > CALM_BYTES
            ):
                library.malloc_trim(0)  # without Python's lock
                trimmed_bytes = now_bytes = resident_bytes()
                trimmed_s = time.monotonic()
            before_bytes = now_bytes
