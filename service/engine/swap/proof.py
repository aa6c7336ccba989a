"""What a bundle must show before it may answer: every step says why it refuses.

The steps are in their order. A graph may take any memory and any time, or end the process, so it
first runs in another one.

Shape suffixes: H height, W width, C bands.
"""

import asyncio
import os
import sys
from collections.abc import Sequence
from contextlib import suppress

import numpy.typing as npt

from service.contract.bundle import Bundle
from service.contract.chips.readers.pool import environment
from service.contract.errors import ServiceError, SwapRefused
from service.contract.manifest import Pixel
from service.contract.memory import available_bytes
from service.engine.cuda import device_memory
from service.engine.queue.fair_queue import Line
from service.engine.queue.ticket import Pending
from service.engine.served import Served
from service.engine.swap.differences import Counted
from service.engine.trial import OPEN_BYTES, PER_FILE_BYTE
from service.engine.verdict import Verdict
from service.settings import PREFIX, Settings

CHECK_S = 600.0  # for the whole of a check; each graph has bounds of its own
CHECK_NICENESS = 5  # a third of the weight of what answers
_FORWARDED = ("device", "precision", "threads", "early_exit", "max_batch", "gpu_memory_bytes")


def check_alike(candidate: Bundle, served: Bundle) -> None:
    """Refuse a bundle of other chips or labels, or one whose answers nobody could tell apart.

    Raises:
        SwapRefused: says what differs.
    """
    new, old = candidate.manifest, served.manifest
    if new.version == old.version:
        raise SwapRefused(
            f"its version is {new.version}, as of the bundle that answers; export it under another one"
        )
    if candidate.label_names != served.label_names:
        raise SwapRefused(
            "its labels are others, or in another order; whoever uses this service would get labels that "
            "they do not know: start a service of its own for it"
        )
    takes = [(m.input.bands, m.input.dtype, m.input.height, m.input.width) for m in (new, old)]
    if takes[0] != takes[1]:
        raise SwapRefused("it takes other chips; start a service of its own for it")


def check_memory(candidate: Bundle, served: Served, other: Served | None = None) -> None:
    """Refuse a bundle for which there is no room beside those that are loaded.

    Raises:
        SwapRefused: says how much is needed.
    """
    needed_bytes, left_bytes = OPEN_BYTES + PER_FILE_BYTE * _graph_bytes(candidate), available_bytes()
    if served.ensemble.device == "cuda" and (found := device_memory()):
        used_bytes, total_bytes = found
        # What these take there, and others with them, is what is known of the device's memory.
        loaded_bytes = sum(_graph_bytes(one.bundle) for one in (served, other) if one)
        needed_bytes = used_bytes * _graph_bytes(candidate) // max(1, loaded_bytes)
        left_bytes = total_bytes - used_bytes
    if left_bytes is not None and needed_bytes > left_bytes:
        raise SwapRefused(
            f"two bundles at a time need up to {needed_bytes >> 20} MiB more memory, and {left_bytes >> 20} "
            "MiB are free; give the service more, or start another with this bundle"
        )


async def check_apart(candidate: Bundle, settings: Settings) -> None:
    """Have another process open a bundle as this one would, and reproduce its golden answers.

    Raises:
        SwapRefused: it could not; says why.
    """
    told = {name: str(getattr(settings, name)) for name in _FORWARDED}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "service.cli", "check", "--as-served", "--", str(candidate.folder)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={**environment(), **{f"{PREFIX}{name.upper()}": value for name, value in told.items()}},
        start_new_session=True,  # a terminal's Ctrl-C is for the parent; uvloop knows no process_group
    )
    try:
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, process.pid, CHECK_NICENESS)
        async with asyncio.timeout(CHECK_S):
            _, said = await process.communicate()
    except TimeoutError as error:
        raise SwapRefused(f"its check was not done after {CHECK_S:g} s") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        words = [line for line in said.decode(errors="replace").splitlines() if line.startswith("chipvote: ")]
        reason = words[-1].removeprefix("chipvote: ") if words else f"it ended with {process.returncode}"
        raise SwapRefused(f"its check failed: {reason}")


async def compare(
    candidate: Served, answered: Sequence[tuple[npt.NDArray[Pixel], Verdict]], most: float
) -> Counted:
    """Have a bundle answer the last chips again; a few decisions may differ.

    Args:
        candidate: the bundle.
        answered: chips (H,W,C) and what the one before said of them.
        most: the share of decisions, one for each chip and label, that may differ.

    Raises:
        SwapRefused: it failed on a chip, was too slow, or more decisions differ.
    """
    loop = asyncio.get_running_loop()
    again: list[Pending] = [loop.create_future() for _ in answered]
    for (chip_HWC, _), answer in zip(answered, again, strict=True):
        candidate.engine.put(chip_HWC, answer, Line())
    try:
        async with asyncio.timeout(candidate.watchdog_s):
            verdicts = await asyncio.gather(*again)
    except TimeoutError as error:
        raise SwapRefused(f"the last {len(answered)} chips took it {candidate.watchdog_s:g} s") from error
    except ServiceError as error:
        raise SwapRefused(f"it failed on one of the last {len(answered)} chips; the log says why") from error
    counted = Counted(candidate.bundle.label_names)
    for (_, before), after in zip(answered, verdicts, strict=True):
        counted.count(before, after)
    if counted.share > most:
        raise SwapRefused(
            f"{counted.share:.1%} of its decisions on the last {len(answered)} chips differ, and "
            f"{most:.1%} may; if that is meant, allow more by most_different"
        )
    return counted


def _graph_bytes(bundle: Bundle) -> int:
    """Return the size of a bundle's graphs at its largest precision."""
    members = bundle.manifest.members
    return sum(max(graph.file.size_bytes for graph in member.graphs.values()) for member in members)
