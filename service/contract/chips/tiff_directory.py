"""A TIFF's bytes → the same file with a directory of only the wanted tags.

A directory may claim billions of entries and values, and libraries have code of their own for
dozens of makers' tags. So that none of it is reached, the first directory is read here, within
bounds, and written anew behind the pixels. Knows which bytes a tag takes, never what it means.

Source: TIFF 6.0, section 2; BigTIFF as in libtiff's design.
"""

import struct
from collections.abc import Iterable
from typing import NamedTuple

from service.contract.errors import CorruptChip

SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

MAX_ENTRIES = 4096  # GeoTIFFs have three dozen
# Of the longest tags, the places of strips and tiles: four bands of 4,096 rows, each row a strip.
MAX_VALUES = 16_384
MAX_TEXT = 1 << 20  # bytes; GDAL's metadata

# Of a value, by the number of its type.
_TEXT = 2  # by its number too
_BYTES = dict(enumerate((1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4), 1)) | {16: 8, 17: 8, 18: 8}


class _Layout(NamedTuple):
    """How a file writes its header and directory: classic or BigTIFF, in one of two byte orders."""

    pointer_at: int
    pointer: struct.Struct  # to the directory
    number: struct.Struct  # of entries
    entry: struct.Struct  # tag, type, count, and a value or the place of it

    @classmethod
    def of(cls, data: bytes) -> "_Layout":
        order = "<" if data.startswith(b"II") else ">"
        at, *formats = (8, "Q", "Q", "HHQ8s") if b"+" in data[2:4] else (4, "I", "H", "HHI4s")
        return cls(at, *(struct.Struct(f"{order}{each}") for each in formats))


def with_only(data: bytes, tags: Iterable[int]) -> bytes:
    """Return a TIFF whose first directory has only these tags, and is its last.

    Raises:
        CorruptChip: the directory is not in the file, or the values of a wanted tag are not, or are
            too many.
    """
    layout = _Layout.of(data)
    try:
        entries = sorted(_wanted(data, layout, frozenset(tags)).items())
    except struct.error:
        raise CorruptChip("the TIFF's directory lies outside the file; send the whole file") from None
    place = len(data) + len(data) % 2
    directory = layout.number.pack(len(entries)) + b"".join(entry for _, entry in entries) + bytes(8)
    header = data[: layout.pointer_at] + layout.pointer.pack(place)
    return b"".join([header, memoryview(data)[len(header) :], bytes(len(data) % 2), directory])


def _wanted(data: bytes, layout: _Layout, tags: frozenset[int]) -> dict[int, bytes]:
    """Return the entries as they are written, of each tag the first."""
    (at,) = layout.pointer.unpack_from(data, layout.pointer_at)
    if not 0 < at < len(data):
        raise struct.error
    (entries,) = layout.number.unpack_from(data, at)
    if entries > MAX_ENTRIES:
        raise CorruptChip(f"the TIFF's directory has {entries} entries; at most {MAX_ENTRIES} are accepted")
    wanted: dict[int, bytes] = {}
    first, size = at + layout.number.size, layout.entry.size
    for place in range(first, first + entries * size, size):
        tag, kind, count, value = layout.entry.unpack_from(data, place)
        if tag not in tags or tag in wanted:
            continue
        bytes_each = _BYTES.get(kind)
        if kind == _TEXT and count > MAX_TEXT:
            continue
        if bytes_each is None or (count > MAX_VALUES and kind != _TEXT):
            raise CorruptChip(f"the TIFF's tag {tag} has {count} values of type {kind}; save it anew")
        if count * bytes_each > len(value):
            (start,) = layout.pointer.unpack(value)
            if start + count * bytes_each > len(data):
                raise CorruptChip(f"the TIFF's tag {tag} lies outside the file; send the whole file")
        wanted[tag] = data[place : place + size]
    return wanted
