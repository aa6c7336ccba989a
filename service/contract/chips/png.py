"""PNG bytes → their size, and the same file with nothing but its pixels.

Profiles, texts and animations are dropped before a library unpacks them. Decodes nothing.

Source: PNG specification (W3C, third edition), sections 5 and 11.
"""

import struct
import zlib
from typing import NamedTuple

from service.contract.errors import CorruptChip

SIGNATURE = b"\x89PNG\r\n\x1a\n"
# A picture of the largest size has 16,000 where it is written in pieces of 8 KiB, as is usual.
MAX_CHUNKS = 20_000

_HEADER, _DATA, _END = b"IHDR", b"IDAT", b"IEND"
_AN_END = struct.pack(">I4sI", 0, _END, zlib.crc32(_END))  # whatever a file's own is like
_OF_PIXELS = frozenset({_HEADER, b"PLTE", b"tRNS", _DATA})
_AROUND = 12  # bytes of a chunk beside its content: length, kind, checksum
_MOST_PER_PIXEL = 16  # bytes, packed; unpacked it is 8 at most
_SLACK = 1 << 16  # bytes; what packing may add to tiny pictures


class Picture(NamedTuple):
    """A PNG without metadata."""

    width: int
    height: int
    bits: int  # of a sample
    data: bytes


def read_picture(data: bytes) -> Picture:
    """Walk a PNG's chunks and keep those that make its pixels.

    Raises:
        CorruptChip: one is broken or cut short, and is named; or there are more than a picture has.
    """
    kept = _chunks(memoryview(data))
    if not kept or bytes(kept[0][:8]) != b"\0\0\0\x0d" + _HEADER:
        raise CorruptChip("the PNG's header is broken; send the whole file")
    width, height, bits = struct.unpack_from(">IIB", kept[0], 8)
    if sum(map(len, kept)) > _MOST_PER_PIXEL * width * height + _SLACK:
        raise CorruptChip("the PNG holds far more data than pixels; save it anew")
    return Picture(width, height, bits, b"".join([SIGNATURE, *kept, _AN_END]))


def _chunks(data: memoryview) -> list[memoryview]:
    """Return the chunks that make the pixels, their checksums verified."""
    kept: list[memoryview] = []
    at = len(SIGNATURE)
    for _ in range(MAX_CHUNKS):
        if at + _AROUND > len(data):
            return kept
        length, kind = struct.unpack_from(">I4s", data, at)
        after = at + _AROUND + length
        if kind == _END:
            return kept
        if kind in _OF_PIXELS:
            name = kind.decode()
            if after > len(data):
                raise CorruptChip(f"the PNG ends inside its chunk {name}; send the whole file")
            if zlib.crc32(data[at + 4 : after - 4]) != int.from_bytes(data[after - 4 : after], "big"):
                raise CorruptChip(f"the checksum of the PNG's chunk {name} is wrong; send the file again")
            if kind == _HEADER and kept:
                raise CorruptChip("the PNG has two header chunks; save it anew")
            kept.append(data[at:after])
        at = after
    raise CorruptChip(f"the PNG has more than {MAX_CHUNKS} chunks; save it anew, without metadata")
