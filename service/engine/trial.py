"""What a graph may take on the CPU until it is proven: a bounded amount of memory and of time.

A graph can ask for any amount of either, and nothing in this process can take back what it was
given. So a thread watches, and ends the process with one sentence before the machine suffers. The
bounds are far above what networks need, and far below what a machine has.
"""

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from service.contract.errors import BundleError, DeviceError, ServiceError
from service.contract.manifest import InputSpec
from service.contract.memory import resident_bytes

OPEN_BYTES, PER_FILE_BYTE = 1 << 25, 8  # to open a graph: weights are unpacked, copied and laid out anew
# To run a chip: 512 channels of its size, or of that after resizing.
LEAST_SIDE_PX, PER_PIXEL_BYTES = 256, 2048
OPEN_S, CHIP_S = 60.0, 10.0
_POLL_S = 0.01

_passed = ContextVar("passed", default=False)


@contextmanager
def passed() -> Iterator[None]:
    """Open what has stood its trial in another process: here it must not end one that answers."""
    token = _passed.set(True)
    try:
        yield
    finally:
        _passed.reset(token)


@contextmanager
def trial(path: Path, spec: InputSpec, chips: int) -> Iterator[None]:
    """Open or run a graph within bounds; beyond them, this process ends with status 1.

    Within `passed`, there are no bounds.

    Args:
        path: of the graph.
        spec: what it takes.
        chips: that run at the same time, and on after the other in all.

    Raises:
        BundleError: ONNX Runtime cannot do it.
        DeviceError: memory is short.
    """
    side_px = max(spec.height, spec.width, LEAST_SIDE_PX)
    most_bytes = OPEN_BYTES + PER_FILE_BYTE * path.stat().st_size + chips * side_px**2 * PER_PIXEL_BYTES
    done = threading.Event()
    bounds = (resident_bytes() + most_bytes, OPEN_S + chips * CHIP_S)
    watch = threading.Thread(target=_watch, args=(path, most_bytes, *bounds, done), name="trial", daemon=True)
    if _passed.get():
        done.set()
    watch.start()
    try:
        yield
    except ServiceError:
        raise
    except MemoryError as error:
        raise DeviceError(f"{path}: memory is too short to run it; give this process more") from error
    except Exception as error:  # ONNX Runtime's exceptions share no other base
        reason = " ".join(str(error).split())
        raise BundleError(f"{path}: does not run ({reason:.500}); export the bundle again") from error
    finally:
        done.set()
        watch.join()


def _watch(path: Path, most_bytes: int, end_bytes: int, most_s: float, done: threading.Event) -> None:
    end_s = time.monotonic() + most_s
    while not done.wait(_POLL_S):
        if resident_bytes() > end_bytes:
            _end(f"{path}: takes more than {most_bytes >> 20} MiB, which no exported graph does")
        if time.monotonic() > end_s:
            _end(f"{path}: is not done after {most_s:g} s; the machine is too slow for it, or it has no end")


def _end(reason: str) -> None:
    # No exception reaches a thread that is inside ONNX Runtime.
    print(f"chipvote: {reason}; export the bundle again", file=sys.stderr, flush=True)
    os._exit(1)
