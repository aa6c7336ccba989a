"""The process that `reader` starts: cuts one scene into chips, and may die of it.

GDAL and its codecs are native code of many hands, so they run apart from what answers, within
limits of memory and processor time. Speaks in the plain messages of the chips' readers, over the
socket that is its standard input, and ends with it. How far it reads ahead is up to who reads: the
socket takes no more than a few windows.
"""

import logging
import os
import resource
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import numpy as np

from service.contract.chips.readers.messages import Line, receive_line, send
from service.contract.errors import OutOfMemory, ServiceError
from service.contract.manifest import InputSpec
from service.scenes.errors import LackingExtra

MEMORY_BYTES = 3 << 30  # of address space; GDAL's tiles, a thread's stacks and the libraries take 1 GiB
STEP_S = 60  # by the clock and of processor time, until the next window is there
THREADS = 2  # that read; more would take the processors from the engine and other chips
_NICENESS = 5  # chips that are asked for alone come first
_TEXT = 2000  # characters of what is wrong

T = TypeVar("T")


def main() -> None:
    """Answer the one request that comes, until the other end is closed."""
    _limit()
    logging.disable()
    with socket.socket(fileno=0) as connection, suppress(EOFError, ConnectionError):
        request = receive_line(connection)
        try:
            _answer(connection, request)
        except MemoryError:
            send(connection, _told(OutOfMemory("the scene takes too much memory to read")))
        except ServiceError as error:
            send(connection, _told(error))


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # it has nothing to write
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(MEMORY_BYTES, hard)
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))
    os.nice(_NICENESS)
    with suppress(OSError):  # if memory is short, this process is to go before the service
        Path("/proc/self/oom_score_adj").write_text("1000")


def _answer(connection: socket.socket, request: Line) -> None:
    with _step():
        try:
            from service.scenes.grid import Grid
            from service.scenes.reading import read_chips
            from service.scenes.scene import open_scene
            from service.scenes.thumbnail import thumbnail
        except ImportError as error:
            raise LackingExtra from error
        spec = InputSpec.model_validate(request["spec"])
        scene = open_scene(request["address"], spec, name=request["filename"] or "the scene")
        grid = Grid(scene, spec, stride=request["stride"], resolution_m=request["resolution_m"])
        corners = scene.ground.place(scene.name, 0, 0, scene.width, scene.height)
    told: Line = {"filename": request["filename"], "width": scene.width, "height": scene.height}
    told |= {"crs": scene.crs, "resolution_m": scene.resolution_m, "windows": len(grid)}
    told["footprint"] = corners.geometry
    if grid.remarks:
        told["warnings"] = grid.remarks
    with _step():
        picture = thumbnail(scene) if request.get("preview") else None
    if picture:
        told |= {"preview": {"bounds": picture.bounds}, "preview_bytes": len(picture.webp)}
    send(connection, told, picture.webp if picture else b"")
    for place, chip in _stepwise(read_chips(grid, spec, THREADS)):
        sides = {"column": place.column, "row": place.row, "width": place.width, "height": place.height}
        line: Line = {"window": sides, "footprint": place.geometry}
        if isinstance(chip, ServiceError):
            send(connection, line | _told(chip))
        else:
            send(connection, line, np.ascontiguousarray(chip).data.cast("B"))


def _stepwise(items: Iterator[T]) -> Iterator[T]:
    """Yield items, each of which must come in time; who takes them may take any."""
    while True:
        with _step():
            item = next(items, None)
        if item is None:
            return
        yield item


@contextmanager
def _step() -> Iterator[None]:
    """Have the kernel end this process if it takes too long: no exception reaches a decoder."""
    signal.alarm(STEP_S)
    signal.setitimer(signal.ITIMER_PROF, STEP_S)
    yield
    signal.setitimer(signal.ITIMER_PROF, 0)
    signal.alarm(0)


def _told(error: ServiceError) -> Line:
    return {"error": type(error).__name__, "detail": error.detail[:_TEXT]}


if __name__ == "__main__":
    main()
