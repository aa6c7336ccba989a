"""An ONNX file's bytes → the certainty that it has no loops and holds all that it needs.

ONNX Runtime runs whatever a graph says: loops without end, and weights from files anywhere. The
graphs that `training/export` writes have neither. This walks the file's structure (protobuf: tags
and lengths) without reading a weight, in a bounded number of steps.

Knows the bytes alone: no bundle, no shapes, no ONNX Runtime.
"""

from collections.abc import Iterator
from math import prod
from mmap import mmap

MAX_PARTS = 1_000_000  # of a graph; those of the largest networks have some ten thousand

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_SIZES = {_FIXED64: 8, _FIXED32: 4}
# Numbers of fields in onnx.proto.
_TRAINING, _FUNCTIONS, _GRAPH = 20, 25, 7  # of a model
_NODE, _INITIALIZER, _SPARSE = 1, 5, 15  # of a graph
_OPERATOR, _ATTRIBUTE = 4, 5  # of a node
_TENSOR, _TENSORS, _SUBGRAPHS, _SPARSE_TENSORS = 5, 10, (6, 11), (22, 23)  # of an attribute
_DIMS, _EXTERNAL = 1, (13, 14)  # of a tensor; the last is its `data_location`

Field = tuple[int, int | memoryview]  # its number, and a number or bytes


def check_graph_file(data: bytes | mmap) -> None:
    """Refuse what no exported graph has.

    Raises:
        ValueError: says what the file has, as the end of a sentence that begins with the file.
    """
    walk = _Walk()
    graphs = 0
    for number, content in walk.fields(memoryview(data)):
        if number in (_TRAINING, _FUNCTIONS):
            raise ValueError("has functions or steps of training, which no exported graph has")
        if number == _GRAPH and isinstance(content, memoryview):
            graphs += 1
            walk.graph(content)
    if not graphs:
        raise ValueError("is no ONNX graph")


class _Walk:
    """One pass through a file, which counts its steps."""

    def __init__(self) -> None:
        self._parts = 0

    def fields(self, data: memoryview) -> Iterator[Field]:
        """Yield the fields of one message."""
        at = 0
        while at < len(data):
            self._parts += 1
            if self._parts > MAX_PARTS:
                raise ValueError(f"has more than {MAX_PARTS} parts")
            tag, at = _varint(data, at)
            number, kind = tag >> 3, tag & 7
            if kind == _VARINT:
                content, at = _varint(data, at)
                yield number, content
                continue
            if kind == _BYTES:
                size, at = _varint(data, at)
            elif kind in _SIZES:
                size = _SIZES[kind]
            else:
                raise ValueError("is no ONNX graph")
            if size > len(data) - at:
                raise ValueError("is cut short, or no ONNX graph")
            yield number, data[at : at + size]
            at += size

    def messages(self, data: memoryview) -> Iterator[tuple[int, memoryview]]:
        """Yield the fields that are messages or texts."""
        return ((number, part) for number, part in self.fields(data) if isinstance(part, memoryview))

    def graph(self, data: memoryview) -> None:
        for number, part in self.messages(data):
            if number == _NODE:
                self.node(part)
            elif number == _INITIALIZER:
                self.tensor(part)
            elif number == _SPARSE:
                raise ValueError("has sparse weights, which no exported graph has")

    def node(self, data: memoryview) -> None:
        parts = list(self.messages(data))
        operator = next((bytes(part) for number, part in parts if number == _OPERATOR), b"?")
        for number, attribute in parts:
            if number != _ATTRIBUTE:
                continue
            for kind, content in self.messages(attribute):
                if kind in _SUBGRAPHS:
                    name = operator[:40].decode(errors="replace")
                    raise ValueError(f"uses {name!r} with a graph inside, which no exported graph does")
                if kind in _SPARSE_TENSORS:
                    raise ValueError("has sparse constants, which no exported graph has")
                if kind in (_TENSOR, _TENSORS):
                    self.tensor(content)

    def tensor(self, data: memoryview) -> None:
        sizes = []
        for number, content in self.fields(data):
            if number in _EXTERNAL and content != 0:
                raise ValueError("takes weights from another file, which no exported graph does")
            if number == _DIMS:
                sizes += [content] if isinstance(content, int) else _varints(content)
        # Of the smallest type there are two numbers to a byte.
        if prod(sizes) > 2 * len(data):
            raise ValueError(f"has a constant of {prod(sizes):.3g} numbers in {len(data)} bytes")


def _varints(data: memoryview) -> list[int]:
    found, at = [], 0
    while at < len(data):
        number, at = _varint(data, at)
        found.append(number)
        if len(found) > 64:
            raise ValueError("has a constant of more than 64 axes")
    return found


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    number = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
    raise ValueError("is cut short, or no ONNX graph")
