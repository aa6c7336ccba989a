"""Which token is which key, by a file that may change while the service runs.

A token is proven by scrypt once, in a thread; from then on its SHA-256 is compared, in constant
time. Knows no HTTP.
"""

import asyncio
import hashlib
import hmac
import logging
import time
from pathlib import Path

from service.contract.errors import SettingsError
from service.server.access.keys import Key, index_of, read_keys

logger = logging.getLogger("chipvote")

_LOOK_S = 1.0  # how often the file is looked at, at the most


class Keyring:
    """The keys of a file. Empty until `load`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._keys: dict[str, Key] = {}
        self._proven: dict[str, bytes] = {}  # SHA-256 of the right token, by the key's hash
        self._proving = asyncio.Lock()
        self._stamp: tuple[int, ...] | None = None
        self._looked_s = 0.0
        self._trouble = ""  # that was told last

    def load(self) -> None:
        """Read the file.

        Raises:
            SettingsError: it is none; what was read before stays in force.
        """
        self._looked_s, self._stamp = time.monotonic(), self._look()
        self._keys, self._trouble = read_keys(self._path), ""
        hashes = {key.hash for key in self._keys.values()}
        self._proven = {known: digest for known, digest in self._proven.items() if known in hashes}

    async def find(self, token: str) -> Key | None:
        """Return the key that a token is of, expired or not."""
        self._follow()
        digest = hashlib.sha256(token.encode()).digest()
        key = self._keys.get(index_of(digest))
        if key is None:
            return None
        if key.hash not in self._proven:
            async with self._proving:  # one at a time, since each takes memory and a processor
                if key.hash not in self._proven and await asyncio.to_thread(key.proves, token):
                    self._proven[key.hash] = digest
        return key if hmac.compare_digest(self._proven.get(key.hash, b""), digest) else None

    def _follow(self) -> None:
        """Read the file again if it is another one."""
        if time.monotonic() - self._looked_s < _LOOK_S:
            return
        self._looked_s = time.monotonic()
        if self._look() == self._stamp:
            return
        try:
            self.load()
            logger.info("%s: %d keys read anew", self._path, len(self._keys))
        except SettingsError as error:
            if isinstance(error.__cause__, OSError):  # which may pass, and leave the file as it is
                self._stamp = None
            if str(error) != self._trouble:
                logger.error("%s; the keys that were read before stay in force", error)
            self._trouble = str(error)

    def _look(self) -> tuple[int, ...] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino
