"""Addresses of what lies elsewhere → a store and a key in it; for scenes and for chips.

An http or https address is fetched as it stands, signed or not, as a browser would. The schemes of
the stores (s3, gs, az, …) take credentials, regions and endpoints from the variables that each
store is known for: AWS_ACCESS_KEY_ID, AWS_SKIP_SIGNATURE, GOOGLE_APPLICATION_CREDENTIALS,
AZURE_STORAGE_ACCOUNT_NAME.
"""

from __future__ import annotations

import io
import os
import re
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from service.scenes.errors import LackingExtra

if TYPE_CHECKING:
    from obstore.store import ObjectStore

WEB = ("http", "https")
SCHEMES = ("s3", "s3a", "gs", "az", "azure", "abfs", "abfss", "adl", *WEB)
# Parameters that are secrets, and those that belong to a signature.
_SECRET = re.compile(
    r"(sig|sign|signature|x-(amz|goog|oss|cos)-.*|(aws|google)access.*"
    r"|.*(token|secret|password|credentials?)|(api|access|subscription)[-_]?key)=.*|key=[\w-]{16,}",
    re.IGNORECASE,
)
_OF_SIGNATURE = re.compile(
    r"(s[vsprte]|srt|spr|sip|sk[a-z]+|[a-z]+oid|scid|sdd|ses|expires?|policy|key-pair-id|key)=.*",
    re.IGNORECASE,
)
_SIGNED = re.compile(r"[?&](sig|sign|signature)=", re.IGNORECASE)
_ADDRESS = re.compile(r"(\w+://[^\s\"<>]+?)([).,:;']*(?=[\s\"<>]|$))")
# As obstore words it, and inside that, as stores do.
_STATUS, _CODE = re.compile(r"status code: (\d+ [^:\n]*)"), re.compile(r"<Code>(\w+)</Code>")
_HEAD_BYTES = 1 << 16
_MOST_CHARACTERS = 300  # of what was not expected


def is_stored(address: str) -> bool:
    """Tell the address of an object from a path, and from what fsspec alone knows."""
    scheme, separator, _ = address.partition("://")
    return bool(separator) and scheme.lower() in SCHEMES


def store_of(address: str) -> tuple[ObjectStore, str]:
    """Return the store of an address, and the key in it.

    Raises:
        LackingExtra: obstore is not there.
        Exception: of obstore; it is no address, or credentials lack.
    """
    parts = urlsplit(address)
    # An address that is signed is one file's alone; stores that are known would not send its query.
    query = f"?{parts.query}" if parts.query and parts.scheme in WEB else ""
    return _store(parts.scheme, f"{parts.netloc}{query}"), unquote(parts.path).lstrip("/")


@lru_cache(64)
def _store(scheme: str, root: str) -> ObjectStore:
    try:
        from obstore.store import HTTPStore, from_url
    except ImportError as error:
        raise LackingExtra("URLs need obstore: pip install 'chipvote[scenes]'") from error
    if scheme not in WEB:
        return from_url(f"{scheme}://{root}")
    # Not by `from_url`, which takes hosts that it knows for buckets: they need credentials.
    return HTTPStore.from_url(f"{scheme}://{root}", client_options={"allow_http": scheme == "http"})


class StoredFile(io.RawIOBase):
    """One object, read in parts from any place in it."""

    ahead_bytes = 0  # to read at least, where more than what is known is asked for

    def __init__(self, address: str) -> None:
        """Read its beginning, where many formats say nearly all of themselves, in small pieces.

        Raises:
            LackingExtra: obstore is not there.
            Exception: of obstore; there is no such object, or it may not be read.
        """
        store, key = store_of(address)
        import obstore

        # No HEAD: an address that is signed is signed for GET.
        first = obstore.get(store, key, options={"range": (0, _HEAD_BYTES)})
        self._part, self._size, self._at = partial(obstore.get_range, store, key), int(first.meta["size"]), 0
        self._known, self._known_at = memoryview(first.bytes()), 0

    def readable(self) -> bool:
        """Say so."""
        return True

    def seekable(self) -> bool:
        """Say so."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a place: from the beginning, from here or from the end."""
        self._at = (0, self._at, self._size)[whence] + offset
        return self._at

    def tell(self) -> int:
        """Return the place."""
        return self._at

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401
        """Fill a buffer as far as there are bytes.

        Raises:
            Exception: of obstore; it cannot be had any more.
        """
        start, end = self._at, min(self._at + len(buffer), self._size)
        if start >= end:
            return 0
        if not self._known_at <= start <= end <= self._known_at + len(self._known):
            ahead = min(max(end, start + self.ahead_bytes), self._size)
            part = memoryview(self._part(start=start, end=ahead))
            if self.ahead_bytes:
                self._known, self._known_at = part, start
        else:
            part = self._known[start - self._known_at :]
        part = part[: end - start]  # or less, of an object that is another one by now
        buffer[: len(part)] = part
        self._at += len(part)
        return len(part)


def shown(address: str) -> str:
    """Return an address without what may be a secret: a user, a password, a signature."""
    scheme, separator, rest = address.partition("://")
    if not separator:
        return address
    host, slash, path = rest.partition("?")[0].partition("/")
    user, _, place = host.rpartition("@")
    if scheme.lower() in WEB or ":" in user:  # and no container, as Azure's schemes have there
        host = place
    return f"{scheme}://{host}{slash}{path}"


def unsigned(address: str) -> str:
    """Return an address without a user and a signature, but with what else tells it from others."""
    place, _, query = address.partition("?")
    if "://" not in place or not query:
        return shown(address)
    theirs = [_SECRET, *([_OF_SIGNATURE] if _SIGNED.search(address) else [])]
    parameters = query.split("&")
    kept = "&".join(text for text in parameters if not any(of.fullmatch(text) for of in theirs))
    return f"{shown(address)}?{kept}" if kept else shown(address)


def told(error: Exception) -> str:
    """Return what a store says, or what keeps from it, in one line and without secrets."""
    text = str(error)
    if status := _STATUS.search(text):
        code = _CODE.search(text)
        return f"the store answers {status[1].strip()}{f', {code[1]}' if code else ''}"
    line = _ADDRESS.sub(lambda found: shown(found[1]) + found[2], text.strip().partition("\n")[0])
    return line[:_MOST_CHARACTERS] or type(error).__name__
