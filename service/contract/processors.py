"""How many processors this process may really use, and of what kind they are."""

import os
import platform
from pathlib import Path

from service.contract.control_groups import MOUNTED, OWN, folders, lines

_CPUINFO = Path("/proc/cpuinfo")

# "quota period" in microseconds, in one file or in two. No quota is "max", or -1.
_QUOTAS = (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us"))
# What decides which kernels ONNX Runtime and PyTorch take, on x86 and on aarch64.
_INSTRUCTIONS = (
    *("avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16"),
    *("asimddp", "i8mm", "bf16", "sve"),
)


def processors(control_groups: Path = MOUNTED, own: Path = OWN) -> int:
    """Count the processors of the affinity mask, and no more than a quota pays for.

    Args:
        control_groups: where they are mounted. A container sees its own group there as the root.
        own: the file that names this process's groups; each of them and all above may have a quota.
    """
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [_quota(folder) for folder in folders("cpu", control_groups, own)]
    return max(1, round(min([count, *filter(None, quotas)])))


def processor_kind(cpuinfo: Path = _CPUINFO) -> str:
    """Name the processor's model, and its instructions on which speed and rounding depend."""
    facts: dict[str, str] = {}
    for line in lines(cpuinfo):
        key, _, value = line.partition(":")
        facts.setdefault(key.strip(), value.strip())  # of the first processor
    name = facts.get("model name") or platform.processor() or platform.machine()
    known = facts.get("flags", facts.get("Features", "")).split()
    return (
        f"{name} ({' '.join(one for one in _INSTRUCTIONS if one in known) or 'no vector instructions known'})"
    )


def _quota(folder: Path) -> float | None:
    """Return how many processors a group's quota pays for; None without one."""
    for names in _QUOTAS:
        try:
            quota_us, period_us = map(int, " ".join((folder / name).read_text() for name in names).split())
            if quota_us > 0 and period_us > 0:
                return quota_us / period_us
        except (OSError, ValueError, OverflowError):
            continue
    return None
