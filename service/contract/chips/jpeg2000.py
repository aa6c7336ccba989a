"""What a JPEG 2000 file says of its picture, before a library believes it.

A library allocates what the codestream says, whatever the boxes or the TIFF around it say. Knows
the file's structure and no pixels.

Source: ITU-T T.800, annexes A (codestream) and I (JP2).
"""

import struct
from typing import NamedTuple

from service.contract.errors import CorruptChip

CODESTREAM = b"\xff\x4f\xff\x51"  # how one begins: SOC, SIZ
MAX_BOXES = 64  # before the codestream; usual files have three
_BOX, _LARGE = struct.Struct(">I4s"), struct.Struct(">Q")
# Right, lower, left and upper edge, tiles, and the number of components.
_SIZE, _SIZE_AT = struct.Struct(">4I16xH"), 8


class Header(NamedTuple):
    """What the codestream says."""

    at: int  # where it begins
    width: int
    height: int
    components: int


def read_header(data: bytes) -> Header:
    """Read what a codestream, alone or in boxes, says of its picture.

    Raises:
        CorruptChip: there is none.
    """
    at = 0 if data.startswith(CODESTREAM) else _codestream_at(data)
    try:
        right, lower, left, upper, components = _SIZE.unpack_from(data, at + _SIZE_AT)
    except struct.error:
        raise CorruptChip("the JPEG 2000 ends in its header; send the whole file") from None
    return Header(at, right - left, lower - upper, components)


def _codestream_at(data: bytes) -> int:
    at = 0
    for _ in range(MAX_BOXES):
        if at + _BOX.size > len(data):
            break
        length, kind = _BOX.unpack_from(data, at)
        head = _BOX.size
        if length == 1 and at + head + _LARGE.size <= len(data):
            (length,) = _LARGE.unpack_from(data, at + head)
            head += _LARGE.size
        if kind == b"jp2c":
            if data.startswith(CODESTREAM, at + head):
                return at + head
            break
        if length < head:  # 0: up to the end
            break
        at += length
    raise CorruptChip("the JPEG 2000's header is broken; send the whole file")
