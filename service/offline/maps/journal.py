"""A map that is being made: parts on disk, so that whatever stops it costs little.

A part is written whole or not at all, and always of the same windows. So a map that was stopped
goes on behind its last part and becomes the same file. Knows no scenes and no verdicts.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from service.contract.errors import StartupError
from service.contract.files import atomic_write

PART_WINDOWS = 512  # half a minute of work for two processors
SUFFIX = ".partial"


class JournalError(StartupError):
    """Raised when a folder of parts belongs to another map, or to a process that is writing it."""


class Journal:
    """The parts of one map, in a folder beside what it will be."""

    def __init__(self, folder: Path) -> None:
        """Take the folder's name; see `opened`."""
        self.folder = folder
        self._facts, self._lock = folder / "map.json", folder / "lock"
        self.count = 0  # of parts

    @contextmanager
    def opened(self, facts: Mapping[str, Any]) -> Iterator[None]:
        """Make the folder, or go on in it; nobody else may meanwhile.

        Args:
            facts: all that the map depends on, as JSON.

        Raises:
            JournalError: another map was begun there, or another process makes this one.
        """
        if self.folder.exists() and not self.folder.is_dir():
            raise JournalError(f"{self.folder} is in the way of a folder; remove it")
        self.folder.mkdir(exist_ok=True)
        with self._lock.open("w") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise JournalError(f"another process is making this map, in {self.folder}") from None
            if not os.fstat(stream.fileno()).st_nlink:  # removed between `open` and the lock
                raise JournalError("another process has just made this map; repeat to make it anew")
            self._check(dict(facts))
            self.count = len(self.parts)
            yield

    def _check(self, facts: dict[str, Any]) -> None:
        now = json.dumps(facts, indent=1)
        if not self.parts:  # nothing would be lost
            with atomic_write(self._facts) as partial:
                partial.write_text(now)
        elif (known := self._facts.read_text()) != now:
            before = json.loads(known)
            changed = ", ".join(key for key, value in json.loads(now).items() if before.get(key) != value)
            raise JournalError(
                f"{self.folder} holds a map that was begun otherwise ({changed}); repeat the command that "
                "began it, or remove that folder"
            )

    def begun(self) -> dict[str, Any]:
        """Return what the parts that are there depend on; nothing if there are none."""
        return dict(json.loads(self._facts.read_text())) if self.parts and self._facts.exists() else {}

    @property
    def parts(self) -> list[Path]:
        """The parts, in order."""
        return sorted(self.folder.glob("part-*.parquet"))

    def add(self, batch: pa.RecordBatch) -> None:
        """Write the next part."""
        with atomic_write(self.folder / f"part-{self.count:08}.parquet") as partial:
            pq.write_table(pa.Table.from_batches([batch]), partial)
        self.count += 1

    def counts(self) -> tuple[int, int]:
        """Return how many rows there are, and how many of them say why a window has no labels."""
        errors = [pq.read_table(part, columns=["error"])["error"] for part in self.parts]
        return sum(map(len, errors)), sum(pc.count(column, "only_valid").as_py() for column in errors)

    def remove(self) -> None:
        """Remove the folder, when the map is finished."""
        # The last first: whenever this is stopped, what is left is the beginning of the map.
        for part in reversed(self.parts):
            part.unlink()
        shutil.rmtree(self.folder)
