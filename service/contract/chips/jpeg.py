"""JPEG bytes → what their header says, and RGB pixels of them without Pillow's detours, or nothing.

The header is walked here, within bounds, before any library sees a byte: it decides the size and
the kind, and a library is called only for what it will find there. libjpeg-turbo gives the pixels
that it gives Pillow, bit for bit. Whatever is not plainly a whole file is left to Pillow, which has
the errors.

Shape suffixes: H height, W width, C bands.
Source: ITU-T T.81 (JPEG), annex B.
"""

import re
import struct
from typing import NamedTuple

import imagecodecs
import numpy as np
import numpy.typing as npt

from service.contract.errors import CorruptChip, NotAnImage, is_shortage

SIGNATURE = b"\xff\xd8\xff"
# Of a progressive JPEG, which has about ten: in a dozen bytes, each passes over the whole picture.
MAX_SCANS = 32
# Before the picture. A profile or a text of some MB has dozens; to walk empty ones takes seconds.
MAX_SEGMENTS = 1000

_SCAN, _END = b"\xff\xda", b"\xff\xd9"  # markers; compressed data never looks like one
_SCANS = b"\xff\xda\x00"  # how each begins
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
# The next marker, as libjpeg finds it: behind any number of fill bytes, and of bytes that some
# writers leave.
_MARKER = re.compile(rb"\xff[^\x00\xff]")
_ACCEPTED = (0xC0, 0xC1, 0xC2)  # frames: baseline, extended, progressive
_KINDS = (
    dict.fromkeys((0xC3, 0xC7, 0xCB, 0xCF), "a lossless JPEG")
    | dict.fromkeys((0xC5, 0xC6, 0xCD, 0xCE), "a hierarchical JPEG")
    | dict.fromkeys((0xC9, 0xCA), "a JPEG with arithmetic coding")
    | {0xF7: "a JPEG-LS"}
)
_FRAME = struct.Struct(">BHHB")  # bits, height, width, components
_FRAMES = frozenset({*_ACCEPTED, *_KINDS})
_ALONE = frozenset({0x01, *range(0xD0, 0xD8)})  # without a segment: nothing, or between pixels
# What Pillow needs to see: tables, frames, restart interval, and who wrote it, which tells the
# colours apart.
_OF_PIXELS = frozenset({*range(0xC0, 0xD0), 0xDB, 0xDD, 0xE0, 0xEE, 0xF7})


class Header(NamedTuple):
    """What a JPEG says of itself before its first scan."""

    width: int
    height: int
    components: int
    kept: tuple[tuple[int, int], ...]  # from where to where the segments lie that make the pixels
    scan: int  # where the first scan begins
    last_scan: int


def read_header(data: bytes) -> Header:
    """Walk a JPEG's segments up to its first scan.

    Raises:
        CorruptChip: they are broken, cut short, or more than a picture has.
        NotAnImage: it is a whole JPEG of a kind that is not accepted.
    """
    try:
        return _walk(data)
    except IndexError:
        raise CorruptChip("the JPEG's header is broken or cut short; send the whole file") from None


def _walk(data: bytes) -> Header:
    """Walk the segments; an IndexError where they are not what they must be."""
    frame: tuple[int, int, int] | None = None
    kept: list[tuple[int, int]] = []
    at = 2
    for _ in range(MAX_SEGMENTS):
        found = _MARKER.search(data, at)
        if not found:
            raise IndexError
        at = found.start()
        marker = data[at + 1]
        after = at + 2 + (data[at + 2] << 8 | data[at + 3])
        if marker in _OF_PIXELS:
            if marker in _FRAMES:
                if frame:
                    raise CorruptChip("the JPEG has two frame headers; save it anew")
                frame = _read_frame(marker, data[at + 4 : after])
            kept.append((at, after))
        elif marker == _START_OF_SCAN and frame:
            return Header(*frame, tuple(kept), at, _last_scan(data, at))
        elif marker in (_START_OF_SCAN, _END_OF_IMAGE):
            raise CorruptChip("the JPEG holds no picture; send the whole file")
        elif marker in _ALONE:
            after = at + 2
        at = after
    raise CorruptChip(
        f"the JPEG has more than {MAX_SEGMENTS} segments before its picture; save it without metadata"
    )


def _last_scan(data: bytes, first: int) -> int:
    if data.find(_SCAN, first + 2) < 0:
        return first
    if data.count(_SCANS, first) > MAX_SCANS:
        raise CorruptChip(f"the JPEG has more than {MAX_SCANS} scans; save it anew, as baseline")
    return data.rfind(_SCAN)


def _read_frame(marker: int, segment: bytes) -> tuple[int, int, int]:
    """Return width, height and components of the frame that can be decoded."""
    if len(segment) < 6 or len(segment) != 6 + 3 * segment[5]:
        raise CorruptChip("the JPEG's frame header is broken; send the whole file")
    precision, height, width, components = _FRAME.unpack_from(segment)
    if marker not in _ACCEPTED or precision != 8:
        kind = _KINDS.get(marker, f"a {precision}-bit JPEG")
        raise NotAnImage(f"the file is {kind}; accepted are baseline and progressive JPEGs of 8 bits")
    if not height:
        raise CorruptChip("the JPEG leaves its height open until its end (DNL); save it anew")
    return width, height, components


def without_metadata(data: bytes, header: Header) -> bytes:
    """Return the file without what its pixels do not need: profiles, previews, positions, texts."""
    return b"".join([data[:2], *(data[start:end] for start, end in header.kept), data[header.scan :]])


def decode_rgb(data: bytes, header: Header) -> npt.NDArray[np.uint8] | None:
    """Decode a JPEG to (H,W,3), None where Pillow must see to it.

    Raises:
        MemoryError: there is too little.
    """
    # A file that was cut short has no end after its last scan, and libjpeg would fill it up in
    # silence. After the end there may be anything: Planet's chips have some bytes there.
    if header.components not in (3, 4) or data.rfind(_END) < header.last_scan:
        return None
    # The library loses 24 KB to 64 MB of memory in each call whose output does not fit the file.
    pixels_HWC = np.empty((header.height, header.width, header.components), np.uint8)
    try:
        imagecodecs.jpeg8_decode(data, out=pixels_HWC)
    except (ValueError, RuntimeError) as error:  # no good JPEG
        if is_shortage(error):
            raise MemoryError from error
        return None
    if header.components == 3:
        return pixels_HWC
    # CMYK comes inverted: without black, already RGB.
    if pixels_HWC[..., 3].min() == 255:
        return np.ascontiguousarray(pixels_HWC[..., :3])
    return None
