"""Chips that claim what they do not hold, are something else, or come when memory is short."""

import resource
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from service.contract.chips.decode import decode_chip
from service.contract.errors import NotAnImage, TooManyPixels
from service.contract.manifest import InputSpec
from tests.kit.fakes import RED, SIZE_PX, encoded, picture

ROOT = Path(__file__).parents[4]
SPEC = InputSpec(bands=("red", "green", "blue"), height=SIZE_PX, width=SIZE_PX)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_memory_that_is_short_is_not_the_chips_fault(kind: str) -> None:
    script = f"""
import io, resource, numpy as np
from PIL import Image
from service.contract.chips.decode import decode_chip
from service.contract.errors import ServiceError
from tests.service.contract.chips.test_hostile_chips import SPEC
file = io.BytesIO()
Image.fromarray(np.zeros((4096, 4096, 3), np.uint8)).save(file, "{kind}")
taken = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + (75 << 20), resource.RLIM_INFINITY))
try:
    decode_chip(file.getvalue(), SPEC)
except ServiceError as error:
    print(type(error).__name__, error.status, error)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.startswith("OutOfMemory 503 there is too little memory"), done


@pytest.mark.parametrize(
    ("start", "name"),
    [
        (b"GIF89a", "GIF"),
        (b"BM", "BMP"),
        (b"\0\0\0\x20ftypheic", "HEIC or AVIF"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    ],
)
def test_other_formats_are_named(start: bytes, name: str) -> None:
    with pytest.raises(NotAnImage, match=f"the file is a {name}.*; accepted are JPEG"):
        decode_chip(start + bytes(100), SPEC)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_a_claimed_size_is_refused_before_memory_is_taken(kind: str) -> None:
    data = encoded(picture(RED), kind)
    match kind:
        case "JPEG":
            at, size = data.index(b"\xff\xc0") + 5, struct.pack(">HH", 65_500, 65_500)
        case "PNG":
            at, size = 16, struct.pack(">II", 65_500, 65_500)
        case _:
            width = (struct.pack("<HHI", 256, kind, 1) for kind in (3, 4))  # the tag
            at = max(map(data.find, width)) + 8
            size = struct.pack("<H", 65_500)
    data = data[:at] + size + data[at + len(size) :]
    if kind == "PNG":
        data = data[:29] + struct.pack(">I", zlib.crc32(data[12:29])) + data[33:]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(TooManyPixels, match="65500×"):
        decode_chip(data, SPEC)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000
