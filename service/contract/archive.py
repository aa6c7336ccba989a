"""Arrays out of an npz file, of which the reader knows shapes and types: nothing else is unpacked.

`numpy.load` unpacks whatever is there: a file of some megabytes may hold many gigabytes. Here
names, sizes and heads are compared before any array is read.
"""

import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from math import prod
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import numpy.typing as npt

MAX_BYTES = 1 << 28  # of all arrays together
_MAX_FILES = 64
_END, _END_64 = b"PK\x05\x06", b"PK\x06\x07"  # of an archive, and of one of more than 4 GB
_END_BYTES, _END_64_BYTES, _MAX_NAME_BYTES = 22, 20, 1024
_PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # others may ask for any amount of memory


class Form(NamedTuple):
    """What an array must be."""

    shape: tuple[int, ...]
    dtype: str

    def __str__(self) -> str:
        return f"{self.shape} of {self.dtype}"


def read_arrays(
    path: Path, wanted: Callable[[int], Mapping[str, Form]], counted: str
) -> dict[str, npt.NDArray[Any]]:
    """Read the arrays that are wanted, and no others.

    Args:
        path: an npz file.
        wanted: number of rows → names and forms.
        counted: the array whose first axis is the number of rows.

    Raises:
        ValueError: says what the file has and what it must have, as the end of a sentence that
            begins with the file.
        OSError: it cannot be read.
    """
    try:
        with path.open("rb") as stream:
            _check_end(stream)
            with zipfile.ZipFile(stream) as archive:
                found = {name: form for name in wanted(0) if (form := _form(archive, name))}
                rows = found[counted].shape[0] if counted in found and found[counted].shape else 0
                forms = wanted(rows)
                for name, form in forms.items():
                    if found.get(name) != form or rows == 0:
                        raise ValueError(f"{name} must be {form}, found {found.get(name, 'nothing')}")
                _check_sizes(archive, forms)
                return {name: _array(archive, name) for name in forms}
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        NotImplementedError,
        RuntimeError,
        struct.error,
    ) as error:
        raise ValueError(f"not a readable npz ({error})") from error


def _check_end(stream: IO[bytes]) -> None:
    """Refuse an archive with a long list of files, which `zipfile` would read as a whole."""
    stream.seek(max(0, stream.seek(0, 2) - _END_BYTES - _END_64_BYTES))
    tail = stream.read()
    end = tail[-_END_BYTES:]
    if not end.startswith(_END) or tail.startswith(_END_64):
        raise ValueError("not a readable npz (its end is missing)")
    files, list_bytes = struct.unpack("<HI", end[10:16])
    if files > _MAX_FILES or list_bytes > _MAX_FILES * _MAX_NAME_BYTES:
        raise ValueError(f"not a readable npz (it lists {files} files in {list_bytes} bytes)")


def _form(archive: zipfile.ZipFile, name: str) -> Form | None:
    """Return an array's form as its head tells it, None without such an array."""
    if _file(name) not in archive.namelist():
        return None
    if archive.getinfo(_file(name)).compress_type not in _PACKED:
        raise ValueError(f"not a readable npz ({name} is not packed as numpy.savez does)")
    with archive.open(_file(name)) as stream:
        if np.lib.format.read_magic(stream) != (1, 0):  # other versions' heads may be of any length
            raise ValueError(f"not a readable npz ({name} is not written as numpy.savez does)")
        try:
            shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
        except (zlib.error, zipfile.BadZipFile, EOFError, OSError, ValueError):
            raise
        except Exception as error:  # it parses a head as Python, whose parts raise nearly anything
            raise ValueError(f"not a readable npz ({name} has no head)") from error
    return Form(tuple(shape), str(dtype))


def _check_sizes(archive: zipfile.ZipFile, forms: Mapping[str, Form]) -> None:
    total = 0
    for name, form in forms.items():
        there, told = archive.getinfo(_file(name)).file_size, prod(form.shape) * np.dtype(form.dtype).itemsize
        if there < told:
            raise ValueError(f"not a readable npz ({name} is cut short)")
        total += there
    if total > MAX_BYTES:
        raise ValueError(f"unpacks to {total >> 20} MiB; {MAX_BYTES >> 20} at most are read")


def _array(archive: zipfile.ZipFile, name: str) -> npt.NDArray[Any]:
    with archive.open(_file(name)) as stream:
        array: npt.NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
    return array


def _file(name: str) -> str:
    return f"{name}.npy"
