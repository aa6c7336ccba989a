import io
import struct

import numpy as np
import pytest
import tifffile

from benchmarks.harness.damage import SIDE_PX, photo, pillows, tiff
from service.contract.chips.decode import decode_chip
from service.contract.chips.jpeg2000 import CODESTREAM, read_header
from service.contract.errors import CorruptChip, ServiceError, TooManyPixels
from service.contract.manifest import InputSpec

SPEC = InputSpec(bands=("red", "green", "blue"), height=SIDE_PX, width=SIDE_PX)
FILES = {
    "in boxes": pillows("JPEG2000", photo()),
    "alone": pillows("JPEG2000", photo(), no_jp2=True),
}


def claiming(data: bytes, side_px: int) -> bytes:
    """The same file, whose codestream claims other sides than its boxes."""
    at = data.index(CODESTREAM) + 8
    return data[:at] + struct.pack(">II", side_px, side_px) + data[at + 8 :]


@pytest.mark.parametrize("data", FILES.values(), ids=FILES)
def test_the_codestream_is_found_and_read(data: bytes) -> None:
    assert read_header(data) == (data.index(CODESTREAM), SIDE_PX, SIDE_PX, 3)


@pytest.mark.parametrize("data", FILES.values(), ids=FILES)
def test_what_has_none_or_ends_in_it_is_refused(data: bytes) -> None:
    for cut in (b"", data[:10], data[: data.index(CODESTREAM) + 20]):
        with pytest.raises(CorruptChip):
            read_header(cut)
    with pytest.raises(CorruptChip):
        read_header(bytes(1000))
    decoy = struct.pack(">I4s", 0, b"free") + FILES["alone"]  # a box up to the end
    with pytest.raises(CorruptChip):
        read_header(decoy)


@pytest.mark.parametrize("data", FILES.values(), ids=FILES)
def test_a_claim_is_refused_before_memory_is_taken(data: bytes) -> None:
    with pytest.raises(TooManyPixels, match="30000×30000"):
        decode_chip(claiming(data, 30_000), SPEC)


def test_a_tile_of_a_tiff_holds_no_more_than_the_tile() -> None:
    """A few kilobytes that took a gigabyte and a half, within the limits of the process."""
    data = tiff("jpeg2000", tile=(16, 32))
    decode_chip(data, SPEC)
    with pytest.raises(ServiceError, match="hold larger pictures than it says"):
        decode_chip(claiming(data, 9000), SPEC)
    many = data.replace(b"\0\3\7\1\1\7\1\1\7\1\1", b"\x40\0\7\1\1\7\1\1\7\1\1")  # of components
    with pytest.raises(ServiceError, match="hold larger pictures than it says"):
        decode_chip(many, SPEC)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        np.testing.assert_array_equal(file.asarray().shape, (SIDE_PX, SIDE_PX, 3))
