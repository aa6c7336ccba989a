"""Scenes in object stores and behind HTTPS: parts of them, as GDAL asks for them.

An https address may be signed. Else credentials and endpoints come from the usual variables of each
store, such as AWS_ACCESS_KEY_ID or AWS_SKIP_SIGNATURE. GDAL's own network drivers are not used.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from service.scenes.errors import LackingExtra

if TYPE_CHECKING:
    from obstore.store import ObjectStore

SCHEMES = ("s3", "gs", "az", "https", "http")
_HEAD_BYTES = 1 << 16


_failures: dict[str, str] = {}  # why a part of an address could not be had: GDAL does not pass that on


class RemoteFile:
    """One object, as GDAL reads files."""

    def __init__(self, store: ObjectStore, key: str, address: str) -> None:
        """Read its beginning, where a GeoTIFF says nearly all of itself, in small pieces.

        Raises:
            OSError: there is none, or it may not be read.
        """
        import obstore

        self._part, self._address = partial(obstore.get_range, store, key), address
        # No HEAD: an address that is signed is signed for GET.
        first = obstore.get(store, key, options={"range": (0, _HEAD_BYTES)})
        self._size, self._at = int(first.meta["size"]), 0
        self._head = bytes(first.bytes())

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
        """Read so many bytes, or what there is; none where they cannot be had, see `failure`."""
        start, end = self._at, self._size if size < 0 else min(self._at + size, self._size)
        self._at = max(start, end)
        if start >= end or end <= len(self._head):
            return self._head[start:end]
        try:
            return bytes(self._part(start=start, end=end))
        except Exception as error:  # the stores' errors share no other base
            # Raised, it would be printed, and its text may hold the signature.
            _failures[self._address] = type(error).__name__
            return b""


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
        _failures.pop(address, None)
        return RemoteFile(store, key, address)

    return open_file


def failure(address: str) -> str | None:
    """Return why a part of an object could not be had since it was opened; None if all could."""
    return _failures.get(address)


def state(address: str) -> list[Any]:
    """Return what changes when the object does.

    Raises:
        OSError: there is none, or it may not be read.
    """
    import obstore

    found = obstore.get(*_store(address), options={"range": (0, 1)}).meta
    return [found["size"], found["e_tag"]]


def shown(address: str) -> str:
    """Return an address without what may be a secret: a password, a signature."""
    if not is_remote(address):
        return address
    scheme, _, rest = address.partition("://")
    host, slash, path = rest.partition("?")[0].partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"


def _store(address: str) -> tuple[ObjectStore, str]:
    try:
        from obstore.store import HTTPStore, from_url
    except ImportError as error:
        raise LackingExtra("URLs need obstore: pip install 'chipvote[scenes]'") from error
    parts = urlsplit(address)
    options: dict[str, Any] = {"client_options": {"allow_http": True}} if parts.scheme == "http" else {}
    root, key = f"{parts.scheme}://{parts.netloc}", unquote(parts.path).lstrip("/")
    if parts.query and parts.scheme in ("https", "http"):  # which a store that is known would not send
        return HTTPStore.from_url(f"{root}?{parts.query}", **options), key
    return from_url(root, **options), key
