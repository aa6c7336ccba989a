"""Files that are whole or not there, whatever ends the process that writes them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to, renamed to `path` when the block ends without error.

    Raises:
        OSError: the path is a folder, which is said before the work is done.
    """
    if path.is_dir():
        raise IsADirectoryError(f"{path}: is a folder; name a file")
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays because libraries look at it; what reads folders leaves out underscores.
    partial = path.with_name(f"_partial-{path.name}")
    try:
        partial.unlink(missing_ok=True)  # of a process that was killed: some libraries would add to it
        yield partial
        with partial.open("rb") as stream:
            os.fsync(stream.fileno())  # or a power cut could leave an empty file under the final name
        partial.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # or its name could be lost
        finally:
            os.close(folder)
    finally:
        partial.unlink(missing_ok=True)
