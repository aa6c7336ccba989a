"""Chips drawn for people, a few at a time, so that labelling keeps the processors.

The bound on their number also bounds memory. Knows the decoder and PNG; no requests. Runs on one
event loop, draws in threads of its own.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from PIL import Image

from service.answers.overlay import png
from service.contract.chips.decode import picture
from service.contract.errors import Overloaded
from service.contract.manifest import InputSpec

THREADS = 2
MOST = 16  # drawn or waiting; a file of a few KB can hold a picture that takes a third of a second


class Previews:
    """The threads, and how many chips are with them."""

    def __init__(self) -> None:
        self._under_way = 0
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="preview")

    def check(self) -> None:
        """Refuse early what `draw` would refuse now.

        Raises:
            Overloaded: enough chips wait to be drawn.
        """
        if self._under_way >= MOST:
            raise Overloaded(f"{MOST} previews are already waiting; send the request again in a moment")

    async def draw(self, data: bytes, spec: InputSpec) -> bytes:
        """Return a chip as a PNG in natural colours, at the size that a bundle takes.

        Raises:
            ChipError: the bytes are no chip.
            Overloaded: see `check`.
        """
        self.check()
        self._under_way += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, _draw, data, spec)
        finally:
            self._under_way -= 1

    def close(self) -> None:
        """End the threads; nothing new may come."""
        self._threads.shutdown(cancel_futures=True)


def _draw(data: bytes, spec: InputSpec) -> bytes:
    return png(Image.fromarray(picture(data, spec)))
