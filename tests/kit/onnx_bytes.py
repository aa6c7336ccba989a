"""ONNX files written byte by byte: the service and its tests do without `onnx`."""

from typing import Any

import numpy.typing as npt

FLOAT, UINT8, UINT16, INT64 = 1, 2, 4, 7  # ONNX's element types


def _varint(number: int) -> bytes:
    rest, low = number >> 7, number & 0x7F
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])


def field(number: int, content: int | str | bytes) -> bytes:
    if isinstance(content, int):
        return _varint(number << 3) + _varint(content)
    data = content.encode() if isinstance(content, str) else content
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def node(operator: str, inputs: list[str], output: str, **attributes: int | list[int]) -> bytes:
    node = b"".join(field(1, name) for name in inputs) + field(2, output) + field(4, operator)
    for name, setting in attributes.items():
        if isinstance(setting, int):
            value = field(3, setting) + field(20, 2)
        else:
            value = b"".join(field(8, item) for item in setting) + field(20, 7)
        node += field(5, field(1, name) + value)
    return node


def tensor(name: str, array: npt.NDArray[Any]) -> bytes:
    dims = b"".join(field(1, size) for size in array.shape)
    kind = {"float32": FLOAT, "int64": INT64}[str(array.dtype)]
    return dims + field(2, kind) + field(8, name) + field(9, array.tobytes())


def value(name: str, kind: int, shape: list[int | str]) -> bytes:
    dims = [field(1, size) if isinstance(size, int) else field(2, size) for size in shape]
    tensor = field(1, kind) + field(2, b"".join(field(1, dim) for dim in dims))
    return field(1, name) + field(2, field(1, tensor))
