"""Scenes in object stores and behind HTTPS: parts of them, as GDAL asks for them.

GDAL's own network drivers are not used.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from service.scenes.stores import StoredFile, store_of, told

_failures: dict[str, str] = {}  # why a part of an address could not be had: GDAL does not pass that on


class RemoteFile(StoredFile):
    """One object, as GDAL reads files."""

    def __init__(self, address: str) -> None:
        """Open it; raises what `StoredFile` does."""
        super().__init__(address)
        self._address = address

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401
        """Fill a buffer; with nothing where that cannot be had, see `failure`."""
        try:
            return super().readinto(buffer)
        except Exception as error:  # the stores' errors share no other base
            # Raised, it would be printed, and its text may hold the signature.
            _failures[self._address] = told(error)
            return 0


@lru_cache(maxsize=64)  # GDAL takes one opener for each address
def opener(address: str) -> Callable[..., RemoteFile]:
    """Return what opens an address, and nothing else.

    Raises:
        LackingExtra: obstore is not there.
    """
    store_of(address)  # or say what lacks, and not in GDAL's words

    def open_file(path: str, *_: object, **__: object) -> RemoteFile:
        if path != address:
            raise FileNotFoundError(path)
        _failures.pop(address, None)
        return RemoteFile(address)

    return open_file


def failure(address: str) -> str | None:
    """Return why a part of an object could not be had since it was opened; None if all could."""
    return _failures.get(address)


def state(address: str) -> list[Any]:
    """Return what changes when the object does.

    Raises:
        Exception: of obstore; there is none, or it may not be read.
    """
    import obstore

    found = obstore.get(*store_of(address), options={"range": (0, 1)}).meta
    return [found["size"], found["e_tag"]]
