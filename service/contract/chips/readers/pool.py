"""TIFF bytes → pixels, read in processes that may die of them.

What reads a TIFF is native code of many hands, much of it never proven against hostile bytes. So it
runs apart: a reader that crashes, hangs or wants too much memory costs its chip an error, and the
next chip gets a new one. It answers in plain messages, so even one that hostile bytes took over can
give nothing but wrong pixels. It ends when its socket does, so none outlives its parent, however
that ended.

Readers start when a TIFF comes, one per processor at most, and are shared by a process's threads.

Shape suffixes: H height, W width, C bands.
"""

import atexit
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress

import numpy as np
import numpy.typing as npt

from service.contract.chips.bands import MAX_BANDS, MAX_SIDE_PX
from service.contract.chips.readers.messages import Line, receive_into, receive_line, send
from service.contract.errors import ChipError, CorruptChip, OutOfMemory, ServiceError
from service.contract.manifest import InputSpec, Pixel
from service.contract.processors import processors

logger = logging.getLogger("chipvote")

LIMIT_S = 30  # of one chip, by the clock; the largest takes a tenth
START_S = 60
LIFESPAN = 5000  # chips; what libraries lose meanwhile is given back

_DTYPES = {name: np.dtype(name) for name in ("uint8", "uint16", "int16", "float32")}
_AGAIN = "send the chip again in a moment"
_KINDS: dict[str, type[ServiceError]] = {
    kind.__name__: kind for kind in (*ChipError.__subclasses__(), OutOfMemory)
}

Pixels = tuple[npt.NDArray[Pixel], tuple[str, ...]]


class Readers:
    """The reader processes of this process."""

    def __init__(self, most: int, module: str = "service.contract.chips.readers.process") -> None:
        """Prepare; nothing starts before it is needed.

        Args:
            most: how many may work at a time.
            module: what they run.
        """
        self._most, self._module = most, module
        self.lost = 0  # readers that a TIFF ended
        self._idle: list[_Reader] = []  # appending and popping are atomic
        self.forget()

    def read(self, data: bytes, spec: InputSpec) -> Pixels:
        """Decode a TIFF as `tiff.read_tiff` does; from any thread.

        Raises:
            ChipError: says what is wrong with the bytes and what is accepted; also if the bytes
                ended a reader.
            OutOfMemory: there is none for a reader.
            ServiceError: readers do not start.
        """
        with self._places:
            reader = self._idle_reader() or _Reader(self._module)
            try:
                pixels = reader.read(data, spec)
            except BaseException:
                self.lost += 1
                reader.end()
                raise
            if reader.chips < LIFESPAN:
                self._idle.append(reader)
            else:
                reader.end()
        if isinstance(pixels, ServiceError):
            raise pixels
        return pixels

    def close(self) -> None:
        """End the readers that are idle; what comes later starts new ones."""
        with suppress(IndexError):
            while True:
                self._idle.pop().end()

    def forget(self) -> None:
        """Begin anew in a forked process, whose parent goes on with the readers."""
        for reader in self._idle:
            reader.forget()
        self._idle = []
        self._places = threading.BoundedSemaphore(self._most)

    def _idle_reader(self) -> "_Reader | None":
        with suppress(IndexError):
            while True:
                reader = self._idle.pop()
                if reader.lives():
                    return reader
                reader.end()  # by another hand, while it was idle
        return None


def environment() -> dict[str, str]:
    """Return that of a process with the same modules as here.

    With `-P`, it takes none from a folder of chips that somebody works in.
    """
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    return {**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"}


def _start(module: str) -> tuple[socket.socket, subprocess.Popen[bytes]]:
    own, other = socket.socketpair()
    with other:
        try:
            return own, subprocess.Popen(
                [sys.executable, "-P", "-m", module],
                stdin=other.fileno(),
                stdout=subprocess.DEVNULL,
                env=environment(),
                process_group=0,  # a terminal's Ctrl-C is for the parent
            )
        except BaseException:
            own.close()
            raise


class _Reader:
    """One process and the socket to it; used by one thread at a time."""

    def __init__(self, module: str) -> None:
        self.chips = 0
        try:
            self._connection, self._process = _start(module)
        except (OSError, MemoryError) as error:
            logger.error("no reader for TIFFs can start: %s", error)
            raise OutOfMemory(f"no reader for TIFFs can start; {_AGAIN}") from error
        try:
            receive_line(self._connection, time.monotonic() + START_S)
        except (EOFError, OSError, ValueError) as error:
            if self._was_killed():
                raise OutOfMemory(f"a reader for TIFFs was ended as it started; {_AGAIN}") from error
            code = self._process.returncode
            logger.error("a reader for TIFFs did not start: %s, exit code %s", error, code)
            raise ServiceError("readers for TIFFs do not start") from error

    def read(self, data: bytes, spec: InputSpec) -> Pixels | ServiceError:
        """Have a TIFF read; return an error that comes back, raise one that ends the reader."""
        self.chips += 1
        deadline = time.monotonic() + LIMIT_S
        try:
            self._connection.settimeout(LIMIT_S)
            send(self._connection, {"spec": spec.model_dump(mode="json"), "bytes": len(data)}, data)
            return self._answer(receive_line(self._connection, deadline), deadline)
        except TimeoutError as error:
            logger.warning("a TIFF kept its reader busy for %d s and was refused", LIMIT_S)
            raise CorruptChip(f"the TIFF takes longer than {LIMIT_S} s to read; save it anew") from error
        except (EOFError, OSError, KeyError, TypeError, ValueError) as error:
            raise self._ended_by(error) from error

    def lives(self) -> bool:
        """Tell whether the process is still there."""
        return self._process.poll() is None

    def end(self) -> None:
        """End the process."""
        self._connection.close()
        self._process.kill()
        self._process.wait()

    def forget(self) -> None:
        """Let go of what belongs to the process that this one was forked from."""
        self._connection.close()
        self._process.returncode = 0

    def _answer(self, line: Line, deadline: float) -> Pixels | ServiceError:
        if "error" in line:
            return _KINDS[line["error"]](str(line["detail"]))
        height, width, bands = map(int, line["shape"])
        if not (0 < height <= MAX_SIDE_PX and 0 < width <= MAX_SIDE_PX and 0 < bands <= MAX_BANDS):
            raise ValueError(f"pixels of shape {line['shape']}")
        pixels_HWC = np.empty((height, width, bands), _DTYPES[line["dtype"]])
        receive_into(self._connection, pixels_HWC.data.cast("B"), deadline)
        return pixels_HWC, tuple(map(str, line["bands"]))

    def _ended_by(self, error: Exception) -> ServiceError:
        if self._was_killed():
            return OutOfMemory(f"the reader of this chip was ended for lack of memory; {_AGAIN}")
        code = self._process.returncode
        if code == -signal.SIGPROF:
            logger.warning("a file took its reader far longer than its size explains and was refused")
            return CorruptChip("the file takes far longer to read than others of its size; save it anew")
        logger.warning("a TIFF ended its reader (exit code %s, %r) and was refused", code, error)
        return CorruptChip("the TIFF is corrupt: its decoder does not survive it; save it anew")

    def _was_killed(self) -> bool:
        """End the process; tell whether the kernel killed it, as it does when memory is short."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(1)  # when the socket is closed, the process is about to be over
        code = self._process.returncode
        self.end()
        return bool(code == -signal.SIGKILL)


READERS = Readers(processors())
atexit.register(READERS.close)
os.register_at_fork(after_in_child=READERS.forget)
