"""Addresses → names, bytes and streams: files here, object stores, and what else fsspec knows."""

import errno
import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO, cast
from urllib.parse import quote, unquote, urlsplit

from service.client.files import shown
from service.contract.errors import ServiceError
from service.scenes.stores import StoredFile, is_stored, store_of, told

MOST_BYTES = 160 << 20  # of one chip, as in a request
_SILENT = ("GenericError", "PermissionDeniedError", "UnauthenticatedError")  # obstore's


class StoreSilent(OSError):
    """Raised where a store answers nobody, or not us: what lies there may be well."""


def local(address: str) -> Path | None:
    """Return the path of a file or folder on this machine; None for what lies elsewhere."""
    if address.startswith("file://"):
        return Path(unquote(urlsplit(address).path))
    return None if "://" in address else Path(address)


def beside(address: str, name: str) -> str:
    """Return the address of what a list calls by this name: relative to the list, or of its own."""
    if "://" in name or os.path.isabs(name):
        return name
    return (
        f"{address.split('?')[0].rpartition('/')[0]}/{name}"
        if "://" in address
        else str(Path(address).parent / name)
    )


def read(address: str, offset: int = 0, size: int | None = None) -> bytes:
    """Return a file's bytes, or a part of them.

    Raises:
        StoreSilent: it may be there.
        OSError: it cannot be read, or is larger than any chip.
    """
    if (size or 0) > MOST_BYTES:
        raise _too_large()
    with _as_os_error():
        if path := local(address):
            with _file(path) as file:
                if size is None and os.fstat(file.fileno()).st_size > MOST_BYTES:
                    raise _too_large()
                file.seek(offset)
                return file.read(-1 if size is None else size)
        if is_stored(address):
            return _stored(address, offset, size)
        system, key = _system(address)
        data = system.cat_file(key, offset, offset + (MOST_BYTES + 1 if size is None else size))
        if len(data) > MOST_BYTES:
            raise _too_large()
        return bytes(data)


def listed(address: str) -> Iterator[tuple[str, str]]:
    """Yield what is below a folder at any depth: its name inside, and its address.

    In an order that is the same every time; hidden files are left out.

    Raises:
        OSError: it cannot be listed.
    """
    if folder := local(address):
        for name in _walked(folder, ""):
            yield name, str(folder / name)
        return
    with _as_os_error():
        root = address.rstrip("/") + "/"
        prefix = _key_of(root)
        for key in _keys(root):
            if shown(name := key.removeprefix(prefix).lstrip("/")):
                yield name, root + (quote(name) if is_stored(root) else name)


@contextmanager
def opened(address: str, copied: bool = False) -> Iterator[BinaryIO]:
    """Open a file for reading from any place in it.

    Args:
        address: of it.
        copied: take a copy of the whole file where a server sends no parts.

    Raises:
        OSError: it cannot be read.
    """
    with _as_os_error():
        stream = _stream(address, copied)
    with stream:
        yield stream


def _stream(address: str, copied: bool) -> BinaryIO:
    if path := local(address):
        return _file(path)
    if not is_stored(address):
        system, key = _system(address)
        return cast(BinaryIO, system.open(key, "rb"))
    store, key = store_of(address)
    import obstore

    try:
        return io.BufferedReader(_Stream(address))
    except obstore.exceptions.NotSupportedError:
        if not copied:
            raise
    copy = TemporaryFile()  # noqa: SIM115 - the caller closes it
    for some in obstore.get(store, key):
        copy.write(some)
    copy.seek(0)
    return cast(BinaryIO, copy)


def _file(path: Path) -> BinaryIO:
    """Open a file; a pipe would be waited for, and a device may have no end."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "it is no regular file")
    return path.open("rb")


def _walked(folder: Path, inside: str) -> Iterator[str]:
    """Yield files below a folder; holds the names of one folder at a time, and of those above."""
    with os.scandir(folder) as entries:
        names = sorted(
            (entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries if shown(entry.name)
        )
    for name, is_folder in names:
        if is_folder:
            yield from _walked(folder / name, f"{inside}{name}/")
        else:
            yield inside + name


def _keys(root: str) -> Iterator[str]:
    if not is_stored(root):
        system, key = _system(root)
        yield from sorted(system.find(key))
        return
    store, prefix = store_of(root)
    import obstore

    for found in obstore.list(store, prefix, chunk_size=1000):
        yield from (entry["path"] for entry in found)


def _key_of(address: str) -> str:
    return (store_of(address) if is_stored(address) else _system(address))[1]


def _stored(address: str, offset: int, size: int | None) -> bytes:
    store, key = store_of(address)
    import obstore

    if size is not None:
        return bytes(obstore.get_range(store, key, start=offset, length=size)) if size else b""
    found = obstore.get(store, key)
    if found.meta["size"] > MOST_BYTES:
        raise _too_large()
    return bytes(found.bytes())


def _system(address: str) -> tuple[Any, str]:
    from fsspec.core import url_to_fs

    system, key = url_to_fs(address)
    return system, str(key)


@contextmanager
def _as_os_error() -> Iterator[None]:
    """Raise an `OSError` for whatever a store's library raises: those share no other base."""
    try:
        yield
    except ServiceError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:  # of the system, not of a store
            raise
        kind = StoreSilent if type(error).__name__ in _SILENT else OSError
        raise kind(errno.EIO, told(error)) from error


def _too_large() -> OSError:
    return OSError(errno.EFBIG, f"more than {MOST_BYTES >> 20} MiB; `chipvote map` is for scenes")


class _Stream(StoredFile):
    """A store's file, for whoever reads it to its end; it raises the errors that files do."""

    ahead_bytes = 1 << 20

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401
        with _as_os_error():
            return super().readinto(buffer)
