"""Files that say which they are when they cannot be read, and tables that spreadsheets open."""

import csv
import json
import math
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError
from safetensors import SafetensorError

from service.contract.files import atomic_write
from training.config.schema import faults


@contextmanager
def undamaged(path: Path) -> Iterator[Path]:
    """Give the path to read from; say which file it is that cannot be read, and the fix.

    Raises:
        ValueError: the block cannot make sense of the file.
    """
    try:
        yield path
    except (ValueError, KeyError, TypeError, EOFError, BadZipFile, SafetensorError) as error:
        lines = faults(error) if isinstance(error, ValidationError) else str(error).splitlines()
        reason = lines[0] if lines else "it is empty"
        raise ValueError(
            f"{path}: is damaged ({reason}); remove it and give the run's command again"
        ) from None


def allocated_array(path: Path, shape: tuple[int, ...], dtype: npt.DTypeLike) -> np.memmap[Any, Any]:
    """Create a .npy file, map it for writing, and take all its space on the disk now.

    Otherwise a disk that fills up kills the process (SIGBUS) at some later write.

    Raises:
        OSError: the disk has too little space.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    needed, free = math.prod(shape) * np.dtype(dtype).itemsize, shutil.disk_usage(path.parent).free
    if needed > free:
        raise OSError(
            f"{path}: needs {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free; make room on the disk"
        )
    array = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
    if needed and hasattr(os, "posix_fallocate"):
        with path.open("rb+") as stream:
            os.posix_fallocate(stream.fileno(), 0, path.stat().st_size)
    return array


def write_json(path: Path, value: Any) -> None:  # noqa: ANN401 — anything JSON can hold
    """Write JSON so that the file is either whole or not there."""
    with atomic_write(path) as partial:
        partial.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


# What a spreadsheet takes for a formula; a number is none. More apostrophes may stand before it.
_FORMULA = re.compile(r"(?![+-]?[\d.]+(e[+-]?\d+)?$)'*[=+\-@\t\r]", re.IGNORECASE)


def guarded(cell: object) -> object:
    """Put an apostrophe before text that a spreadsheet would run; `unguarded` takes it away."""
    return f"'{cell}" if isinstance(cell, str) and _FORMULA.match(cell) else cell


def unguarded(cell: str) -> str:
    """Return what was written as this cell: what `guarded` is given, and the page's files alike."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Iterable[object]]) -> None:
    """Write a table, row by row as they come, so that the file is either whole or as it was.

    Text that a spreadsheet would run is `guarded`.
    """
    with atomic_write(path) as partial, partial.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(map(guarded, header))
        writer.writerows(map(guarded, row) for row in rows)
