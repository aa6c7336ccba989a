"""A TIFF's bytes → the same file with a directory of only the wanted tags.

A directory may claim billions of entries and values, and libraries have code of their own for
dozens of makers' tags. So that none of it is reached, the first directory is read here, within
bounds, and written anew behind the pixels; so is its mask's, for who asks. Knows which bytes a tag
takes, and what it means only where a mask is told by it.

Source: TIFF 6.0, section 2; BigTIFF as in libtiff's design.
"""

import struct
from collections.abc import Iterable
from math import prod
from typing import NamedTuple

from service.contract.errors import CorruptChip

SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

MAX_ENTRIES = 4096  # GeoTIFFs have three dozen
# Of the longest tags, the places of strips and tiles: four bands of 4,096 rows, each row a strip.
MAX_VALUES = 16_384
MAX_TEXT = 1 << 20  # bytes; GDAL's metadata
MAX_DIRECTORIES = 16  # among which a mask is looked for; the largest picture has eight smaller copies

# Of a value, by the number of its type.
_TEXT = 2  # by its number too
_BYTES = dict(enumerate((1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4), 1)) | {16: 8, 17: 8, 18: 8}
_INTEGERS = {3: "H", 4: "I", 16: "Q"}
_KIND, _SIDES = 254, (256, 257)  # tags that tell a mask: the kind of image, width and height
_SAMPLES = 277  # of a pixel
_A_MASK = 4  # of the kinds; a smaller copy's is 5


class _Layout(NamedTuple):
    """How a file writes header and directories: classic or BigTIFF, in one of two byte orders."""

    order: str
    pointer_at: int
    pointer: struct.Struct  # to a directory
    number: struct.Struct  # of entries
    entry: struct.Struct  # tag, type, count, and a value or the place of it

    @classmethod
    def of(cls, data: bytes) -> "_Layout":
        order = "<" if data.startswith(b"II") else ">"
        at, *formats = (8, "Q", "Q", "HHQ8s") if b"+" in data[2:4] else (4, "I", "H", "HHI4s")
        return cls(order, at, *(struct.Struct(f"{order}{each}") for each in formats))

    def integer(self, entry: bytes) -> int | None:
        """Return an entry's only value, None where it has others."""
        _, kind, count, value = self.entry.unpack(entry)
        if count != 1 or kind not in _INTEGERS:
            return None
        return int(struct.unpack_from(f"{self.order}{_INTEGERS[kind]}", value)[0])


_Entries = dict[int, bytes]  # as they are written, by tag


def with_only(data: bytes, tags: Iterable[int], mask: bool = False) -> bytes:
    """Return a TIFF whose first directory has only these tags, and is its last.

    Args:
        data: the file.
        tags: their numbers.
        mask: leave a second directory, if there is one for which pixels of the first show anything.

    Raises:
        CorruptChip: the directory is not in the file, or the values of a wanted tag are not, or are
            too many.
    """
    layout, wanted = _Layout.of(data), frozenset(tags)
    try:
        first, after = _read(data, layout, layout.pointer_at, wanted)
        directories = [first]
        if mask and (pointer := _mask_pointer(data, layout, first, after)):
            directories.append(_read(data, layout, pointer, wanted)[0])
    except struct.error:
        raise CorruptChip("the TIFF's directory lies outside the file; send the whole file") from None
    place = len(data) + len(data) % 2
    header = data[: layout.pointer_at] + layout.pointer.pack(place)
    parts: list[bytes | memoryview] = [header, memoryview(data)[len(header) :], bytes(len(data) % 2)]
    for left, entries in zip(range(len(directories))[::-1], directories, strict=True):
        body = layout.number.pack(len(entries)) + b"".join(entries[tag] for tag in sorted(entries))
        place += len(body) + layout.pointer.size
        parts += [body, layout.pointer.pack(place if left else 0)]
    return b"".join(parts)


def claimed_samples(data: bytes) -> int:
    """Return how many samples the first image claims to have; 0 where it claims none."""
    try:
        layout = _Layout.of(data)
        entries, _ = _read(data, layout, layout.pointer_at, frozenset((*_SIDES, _SAMPLES)))
        counts = [layout.integer(entries[tag]) if tag in entries else None for tag in (*_SIDES, _SAMPLES)]
    except (struct.error, CorruptChip):
        return 0
    return prod(count or default for count, default in zip(counts, (0, 0, 1), strict=True))


def _mask_pointer(data: bytes, layout: _Layout, first: _Entries, after: int) -> int | None:
    """Return where the pointer to the mask of the first directory's picture stands."""
    sides = [layout.integer(first[tag]) for tag in _SIDES if tag in first]
    for _ in range(MAX_DIRECTORIES):
        if layout.pointer.unpack_from(data, after) == (0,):
            return None
        entries, end = _read(data, layout, after, frozenset((_KIND, *_SIDES)))
        found = [layout.integer(entries[tag]) for tag in (_KIND, *_SIDES) if tag in entries]
        if found == [_A_MASK, *sides]:
            return after
        after = end
    return None


def _read(data: bytes, layout: _Layout, pointer: int, tags: frozenset[int]) -> tuple[_Entries, int]:
    """Return the entries of the directory at a pointer, of each tag the first, and its end."""
    (at,) = layout.pointer.unpack_from(data, pointer)
    if not 0 < at < len(data):
        raise struct.error
    (entries,) = layout.number.unpack_from(data, at)
    if entries > MAX_ENTRIES:
        raise CorruptChip(f"the TIFF's directory has {entries} entries; at most {MAX_ENTRIES} are accepted")
    wanted: _Entries = {}
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
    return wanted, first + entries * size
