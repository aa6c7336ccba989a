"""Hostile archives are tried as whole bundles: test_hostile_bundles.py."""

import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from service.contract.archive import Form, read_arrays


def forms(rows: int) -> dict[str, Form]:
    return {"a": Form((rows, 2), "float32"), "b": Form((rows,), "bool")}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_what_is_wanted_is_read_and_nothing_else(tmp_path: Path, save: Callable[..., None]) -> None:
    path = tmp_path / "arrays.npz"
    a, b = np.arange(6, dtype=np.float32).reshape(3, 2), np.array([True, False, True])
    save(path, a=a, b=b, c=np.zeros(9))
    found = read_arrays(path, forms, counted="a")
    assert found.keys() == {"a", "b"}
    np.testing.assert_array_equal(found["a"], a)
    np.testing.assert_array_equal(found["b"], b)
    save(path, a=a, b=b[:2])
    with pytest.raises(ValueError, match=r"b must be \(3,\) of bool, found \(2,\) of bool"):
        read_arrays(path, forms, counted="a")
    save(path, a=a[:0], b=b[:0])
    with pytest.raises(ValueError, match="must be"):
        read_arrays(path, forms, counted="a")


@pytest.mark.parametrize(
    "head",
    [
        b"(\0",  # none of Python's tokens
        b"'''",  # that does not end
        b"{[]: 1}",
        b"{'descr': (), 'fortran_order': False, 'shape': (3, 2)}",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': " + b"(" * 300,
        b"{" * 9000,
        b"9" * 9000,
        b"",
    ],
    ids=range(8),
)
def test_a_head_that_is_no_python_is_no_array(tmp_path: Path, head: bytes) -> None:
    path = tmp_path / "arrays.npz"
    with zipfile.ZipFile(path, "w") as archive:
        magic = b"\x93NUMPY\x01\x00"
        archive.writestr("a.npy", magic + struct.pack("<H", len(head)) + head + bytes(24))
    with pytest.raises(ValueError):
        read_arrays(path, forms, counted="a")
