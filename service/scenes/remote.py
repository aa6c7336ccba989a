"""Scenes in object stores and behind HTTPS: parts of them, as GDAL asks for them.

Credentials and endpoints come from the usual variables of each store, such as AWS_ACCESS_KEY_ID or
AWS_SKIP_SIGNATURE. GDAL's own network drivers are not used.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from service.scenes.errors import LackingExtra

if TYPE_CHECKING:
    from obstore.store import ObjectStore

SCHEMES = ("s3", "gs", "az", "https", "http")
_HEAD_BYTES = 1 << 16


class RemoteFile:
    """One object, as GDAL reads files."""

    def __init__(self, store: ObjectStore, key: str) -> None:
        """Read its beginning, where a GeoTIFF says nearly all of itself, in small pieces.

        Raises:
            OSError: there is none, or it may not be read.
        """
        import obstore

        self._part = partial(obstore.get_range, store, key)
        self._size, self._at = int(obstore.head(store, key)["size"]), 0
        self._head = bytes(self._part(start=0, end=min(self._size, _HEAD_BYTES))) if self._size else b""

    def __enter__(self) -> RemoteFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Do nothing: no connection is held."""

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move to a place: from the beginning, from here or from the end."""
        self._at = (0, self._at, self._size)[whence] + offset
        return self._at

    def tell(self) -> int:
        """Return the place."""
        return self._at

    def read(self, size: int = -1) -> bytes:
        """Read so many bytes, or what there is."""
        start, end = self._at, self._size if size < 0 else min(self._at + size, self._size)
        self._at = max(start, end)
        if start >= end or end <= len(self._head):
            return self._head[start:end]
        return bytes(self._part(start=start, end=end))


def is_remote(address: str) -> bool:
    """Tell a URL of a store from a path."""
    return address.startswith(tuple(f"{scheme}://" for scheme in SCHEMES))


@lru_cache(maxsize=64)  # GDAL takes one opener for each address
def opener(address: str) -> Callable[..., RemoteFile]:
    """Return what opens an address, and nothing else.

    Raises:
        LackingExtra: obstore is not there.
    """
    store, key = _store(address)

    def open_file(path: str, *_: object, **__: object) -> RemoteFile:
        if path != address:
            raise FileNotFoundError(path)
        return RemoteFile(store, key)

    return open_file


def state(address: str) -> list[Any]:
    """Return what changes when the object does.

    Raises:
        OSError: there is none, or it may not be read.
    """
    import obstore

    found = obstore.head(*_store(address))
    return [found["size"], found["e_tag"]]


def _store(address: str) -> tuple[ObjectStore, str]:
    try:
        from obstore.store import from_url
    except ImportError as error:
        raise LackingExtra("URLs need obstore: pip install 'chipvote[scenes]'") from error
    parts = urlsplit(address)
    options: dict[str, Any] = {"client_options": {"allow_http": True}} if parts.scheme == "http" else {}
    return from_url(f"{parts.scheme}://{parts.netloc}", **options), parts.path.lstrip("/")
