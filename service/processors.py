"""How many processors this process may really use."""

import os
from pathlib import Path

_LIMIT = Path("/sys/fs/cgroup/cpu.max")  # "quota period" in microseconds, or "max period"


def processors(limit: Path = _LIMIT) -> int:
    """Count the processors of the affinity mask, and no more than a container's quota pays for."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = limit.read_text().split()
        return max(1, min(count, round(int(quota) / int(period))))
    except (OSError, ValueError):
        return count
