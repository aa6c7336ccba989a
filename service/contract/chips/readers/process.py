"""The process that `pool` starts: reads one file after the other, and may die of it.

Lives as long as the socket that is its standard input. Its own limits come first: address space, so
that a claim in a file cannot take the machine's memory; processor time by the size of file and
picture, which no other work on the machine uses up; and an alarm that ends what hangs when nobody
is left to.
"""

import logging
import resource
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np

from service.contract.chips import pictures, tiff_directory
from service.contract.chips.bands import RGB
from service.contract.chips.pictures import read_band, read_picture
from service.contract.chips.readers.messages import Line, receive_into, receive_line, send
from service.contract.chips.tiff import Pixels, read_tiff
from service.contract.chips.tiff_directory import SIGNATURES
from service.contract.errors import CorruptChip, OutOfMemory, ServiceError
from service.contract.manifest import InputSpec
from service.contract.memory import give_back_large_buffers

MEMORY_BYTES = 2 << 30  # of address space; the largest chip takes half
ALARM_S = 60  # later than its parent would end it
# Of processor time; a dozen times and more what the slowest codec takes here.
LEAST_S, PER_SAMPLE_S, PER_BYTE_S = 1.0, 0.5e-6, 0.5e-6

# No chip that is accepted reaches our own limit; a lower one is the machine's.
_TOO_LARGE = CorruptChip(f"the file takes more than {MEMORY_BYTES >> 20} MiB to read; save it anew")
_SHORT = OutOfMemory("there is too little memory for this chip; send it again in a moment")


def read_apart(data: bytes, spec: InputSpec) -> Pixels:
    """Decode a TIFF, WebP or JPEG 2000 file; see `read_tiff`."""
    if data.startswith(SIGNATURES):
        return read_tiff(data, spec)
    if len(spec.order) == 1:
        return read_band(data, spec), spec.order
    kind = "WEBP" if data.startswith(b"WEBP", 8) else "JPEG2000"
    return read_picture(data, (kind,), spec), RGB


def main(read: Callable[[bytes, InputSpec], Pixels] = read_apart) -> None:
    """Answer requests by what a function reads, until the other end is closed."""
    own_limit = _limit()
    give_back_large_buffers()
    logging.disable()  # what tifffile has to say about hostile files is theirs to say
    with socket.socket(fileno=0) as connection, suppress(EOFError, ConnectionError):
        send(connection, {})  # ready
        while True:
            _answer(connection, receive_line(connection), read, own_limit)


def limit_s(data: bytes) -> float:
    """Return the seconds of processor time that a file may take; 1 for a chip."""
    read = tiff_directory.claimed_samples if data.startswith(SIGNATURES) else pictures.claimed_samples
    return min(ALARM_S, LEAST_S + PER_SAMPLE_S * read(data) + PER_BYTE_S * len(data))


def _limit() -> bool:
    """Limit this process; return whether the limit of memory is ours and not the machine's."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError):  # if memory is short, this process is to go before the service
        Path("/proc/self/oom_score_adj").write_text("1000")
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    inherited = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
    if min(inherited, default=MEMORY_BYTES) < MEMORY_BYTES:
        return False
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, hard))
    return True


def _answer(
    connection: socket.socket, request: Line, read: Callable[[bytes, InputSpec], Pixels], own_limit: bool
) -> None:
    signal.alarm(ALARM_S)
    try:
        body = bytearray(request["bytes"])
        receive_into(connection, memoryview(body))
        data = bytes(body)
        # The kernel ends the process: no exception reaches what is inside a decoder.
        signal.setitimer(signal.ITIMER_PROF, limit_s(data))
        pixels_HWC, bands = read(data, InputSpec.model_validate(request["spec"]))
        pixels_HWC = np.ascontiguousarray(pixels_HWC)
        line: Line = {"shape": pixels_HWC.shape, "dtype": str(pixels_HWC.dtype), "bands": bands}
        send(connection, line, pixels_HWC.data.cast("B"))
    except MemoryError:
        _send_error(connection, _TOO_LARGE if own_limit else _SHORT)
    except ServiceError as error:
        _send_error(connection, error)
    signal.setitimer(signal.ITIMER_PROF, 0)
    signal.alarm(0)


def _send_error(connection: socket.socket, error: ServiceError) -> None:
    send(connection, {"error": type(error).__name__, "detail": error.detail[:2000]})


if __name__ == "__main__":
    main()
