"""Layers written for who asks, one at a time, a few waiting: labelling keeps the processors.

GDAL's settings are the process's, and the bound on their number also bounds memory. Runs on one
event loop, writes in a thread of its own.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from service.contract.errors import Overloaded
from service.server.layers.errors import NoRoom
from service.server.layers.rows import read_layer
from service.server.scenes.errors import MissingExtra

MOST = 4  # written or waiting; ten thousand rows take a second or two


class Layers:
    """The thread, and how many layers are with it."""

    def __init__(self) -> None:
        self._under_way = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="layer")

    def check(self) -> None:
        """Refuse early what `geopackage` would refuse now.

        Raises:
            Overloaded: enough layers wait to be written.
        """
        if self._under_way >= MOST:
            raise Overloaded(f"{MOST} layers are already waiting; send the request again in a moment")

    async def geopackage(self, data: bytes) -> bytes:
        """Return rows as a GeoPackage.

        Raises:
            InvalidRows: they are none, or of several bundles.
            MissingExtra: a package is not there.
            NoRoom: a temporary file cannot be written.
            Overloaded: see `check`.
        """
        self.check()
        self._under_way += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, _written, data)
        finally:
            self._under_way -= 1

    def close(self) -> None:
        """End the thread; nothing new may come."""
        self._thread.shutdown(cancel_futures=True)


def _written(data: bytes) -> bytes:
    try:
        from service.answers.layers.geopackage import encoded
        from service.answers.layers.predictions import table
    except ImportError as error:
        raise MissingExtra(
            "layers need packages that this service lacks: pip install 'chipvote[scenes]'"
        ) from error
    layer = read_layer(data)
    try:
        return encoded(table(layer.model, layer.told()))
    except OSError as error:
        raise NoRoom(
            "the service has no room for temporary files; set TMPDIR to a folder that has"
        ) from error
