"""A scene's file → its windows, cut by a process of its own.

Whatever a scene does to its process costs this scene an error and nobody else anything. What comes
back is checked like any input: it may be what hostile bytes made of a decoder. Runs on one event
loop.

Shape suffixes: H height, W width, C bands.
"""

import asyncio
import json
import logging
import math
import signal
import socket
import subprocess
import sys
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import NamedTuple, NoReturn, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, TypeAdapter

from service.client.schemas import Geometry, Scene, Window
from service.contract.chips.readers.messages import MAX_LINE, Line
from service.contract.chips.readers.pool import environment
from service.contract.errors import ChipError, ClientGone, OutOfMemory, ServiceError
from service.contract.manifest import InputSpec, Pixel
from service.scenes.errors import LackingExtra, SceneError, Skipped
from service.server.scenes.errors import LostScene, MissingExtra
from service.server.scenes.spool import Spool

logger = logging.getLogger("chipvote")

MODULE = "service.server.scenes.process"
ANSWER_S = 90  # until its next message; the process ends itself before
MOST_PREVIEW = 4 << 20  # bytes
_WEBP = "data:image/webp;base64,"
_LENGTH = 4  # bytes of a message that tell how long its line is

_KINDS: dict[str, type[ServiceError]] = {
    kind.__name__: kind
    for kind in (
        *ChipError.__subclasses__(), OutOfMemory, SceneError, *SceneError.__subclasses__(), Skipped,
        LackingExtra,
    )
}  # fmt: skip
_FIX = "write it anew (gdal_translate -of COG), or label it where it lies: chipvote map FILE"


class Wanted(NamedTuple):
    """How a scene is cut."""

    spec: InputSpec
    stride: float  # share of a window
    resolution_m: float | None  # of the chips; None: as the bundle says
    preview: bool = False  # with a picture of it


class Seen(NamedTuple):
    """One window: its chip (H,W,C) of the spec's shape, or why there is none."""

    window: Window
    footprint: Geometry | None
    chip: npt.NDArray[Pixel] | ServiceError


class _Told(BaseModel):
    """A window's line."""

    model_config = ConfigDict(extra="forbid")

    window: Window
    footprint: Geometry | None
    error: str | None = None
    detail: str = ""


_SCENE = TypeAdapter(Scene)


class SceneReader:
    """One scene that is being read; end it, whatever happens."""

    scene: Scene

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        stream: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        wanted: Wanted,
    ) -> None:
        self._process, self._stream, self._writer, self._wanted = process, stream, writer, wanted
        self._stopped = False

    @classmethod
    async def open(cls, spool: Spool, wanted: Wanted) -> Self:
        """Start a process and have it look at a scene's header.

        Args:
            spool: the scene.
            wanted: how to cut it.

        Raises:
            SceneError, LostScene: the scene cannot be used.
            OutOfMemory: there is none for a process, or no descriptor.
            MissingExtra: a package is not there.
        """
        process, own = await _started(spool)
        stream, writer = await asyncio.open_connection(sock=own)
        reader = cls(process, stream, writer, wanted)
        try:
            request = {
                "address": f"/dev/fd/{spool.file.fileno()}",
                "filename": spool.name,
                "spec": wanted.spec.model_dump(mode="json"),
                "stride": wanted.stride,
                "resolution_m": wanted.resolution_m,
                "preview": wanted.preview,
            }
            text = json.dumps(request).encode()
            writer.write(len(text).to_bytes(_LENGTH, "big") + text)
            reader.scene = {**await reader._first(), "filename": spool.name}
        except BaseException:
            await reader.end()
            raise
        return reader

    async def windows(self) -> AsyncIterator[Seen]:
        """Yield the windows in order.

        Raises:
            ServiceError: the process ended before the last one, or says that it cannot go on.
        """
        spec = self._wanted.spec
        shape = (spec.height, spec.width, len(spec.bands))
        size_bytes = math.prod(shape) * np.dtype(spec.dtype).itemsize
        for _ in range(self.scene["windows"]):
            try:
                line = await self._line()
                if "window" not in line:  # it concerns them all
                    raise _error(line["error"], str(line["detail"]))
                told = _Told.model_validate(line)
                if told.error:
                    chip: npt.NDArray[Pixel] | ServiceError = _error(told.error, told.detail)
                else:
                    chip = np.frombuffer(await self._bytes(size_bytes), spec.dtype).reshape(shape)
            except (EOFError, OSError, ValueError, KeyError) as error:
                raise await self._lost(error) from error
            yield Seen(told.window, told.footprint, chip)

    def stop(self) -> None:
        """Have the process end; whoever waits for a window hears of it."""
        self._stopped = True
        self._process.kill()

    async def end(self) -> None:
        """End the process and what leads to it."""
        self.stop()
        self._writer.close()
        await asyncio.to_thread(self._process.wait)

    async def _first(self) -> Scene:
        try:
            line = await self._line()
            if "error" in line:
                raise _error(line["error"], str(line["detail"]))
            if size := line.pop("preview_bytes", 0):
                line["preview"]["image"] = _WEBP + b64encode(await self._preview(size)).decode()
            return _SCENE.validate_python(line)
        except (EOFError, OSError, ValueError, KeyError) as error:
            raise await self._lost(error) from error

    async def _preview(self, size: int) -> bytes:
        if not 0 < size <= MOST_PREVIEW:
            raise ValueError(f"a picture of {size} bytes; at most {MOST_PREVIEW} are accepted")
        return await self._bytes(size)

    async def _line(self) -> Line:
        length = int.from_bytes(await self._bytes(_LENGTH), "big")
        if length > MAX_LINE:
            raise ValueError(f"a line of {length} bytes; at most {MAX_LINE} are accepted")
        line = json.loads(await self._bytes(length), parse_constant=_refuse)
        if not isinstance(line, dict):
            raise ValueError("the line is no JSON object")
        return line

    async def _bytes(self, size: int) -> bytes:
        async with asyncio.timeout(ANSWER_S):
            return await self._stream.readexactly(size)

    async def _lost(self, error: Exception) -> ServiceError:
        """Return what became of the process, which this ends."""
        if self._stopped:
            return ClientGone("the client has gone")
        code: int | None = None
        if isinstance(error, EOFError):  # the socket is closed, so the process is about to be over
            with suppress(subprocess.TimeoutExpired):
                code = await asyncio.to_thread(self._process.wait, 1)
        logger.warning("a scene ended its reader (exit code %s, %r) and was refused", code, error)
        if code in (-signal.SIGPROF, -signal.SIGALRM) or isinstance(error, TimeoutError):
            return LostScene(f"the scene takes far too long to read; {_FIX}")
        if code == -signal.SIGKILL:
            return OutOfMemory("the scene's reader was ended for lack of memory; send it again in a moment")
        return LostScene(f"the scene is corrupt: its reader does not survive it; {_FIX}")


async def _started(spool: Spool) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Start a process; return it with what leads to it."""

    def start(other: socket.socket) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", MODULE],
            stdin=other.fileno(),
            stdout=subprocess.DEVNULL,
            pass_fds=[spool.file.fileno()],
            env=environment(),
            process_group=0,  # a terminal's Ctrl-C is for the parent
        )

    try:
        own, other = socket.socketpair()
        with other:
            try:
                return await asyncio.to_thread(start, other), own
            except BaseException:
                own.close()
                raise
    except (OSError, MemoryError) as error:
        logger.error("no reader for scenes can start: %s", error)
        raise OutOfMemory("no reader for scenes can start; send the scene again in a moment") from error


def _error(name: str, detail: str) -> ServiceError:
    kind = _KINDS[name]
    if kind is LackingExtra:
        return MissingExtra("scenes need packages that this service lacks: pip install 'chipvote[scenes]'")
    return kind(detail)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number of JSON")
