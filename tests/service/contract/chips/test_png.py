import io
import struct
import time
import zlib

import httpx2
import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from service.contract.chips.decode import decode_chip
from service.contract.chips.png import MAX_CHUNKS, read_picture
from service.contract.errors import CorruptChip
from service.contract.manifest import InputSpec
from tests.kit.fakes import RED, SIZE_PX, encoded, picture

SPEC = InputSpec(bands=("red", "green", "blue"), height=SIZE_PX, width=SIZE_PX)
PLAIN = encoded(picture(RED), "PNG")
TWO_MEBIBYTES = "text" * (1 << 19)


def chunk(kind: bytes, content: bytes = b"") -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def with_chunk(data: bytes, *, before_pixels: bool = True) -> bytes:
    """The plain picture with one chunk more."""
    at = PLAIN.index(b"IDAT" if before_pixels else b"IEND") - 4
    return PLAIN[:at] + data + PLAIN[at:]


PACKED = zlib.compress(TWO_MEBIBYTES.encode())
LARGE = {
    "profile": chunk(b"iCCP", b"profile\0\0" + PACKED),
    "packed text": chunk(b"zTXt", b"text\0\0" + PACKED),
    "international text": chunk(b"iTXt", b"text\0\1\0\0\0" + PACKED),
    "text": chunk(b"tEXt", b"text\0" + TWO_MEBIBYTES.encode()),
    "broken profile": chunk(b"iCCP", b"profile\0\0no zlib"),
    "text with a wrong checksum": chunk(b"tEXt", b"text\0some")[:-1] + b"?",
    "animation": chunk(b"acTL", struct.pack(">II", 1 << 30, 0)),
}


@pytest.mark.parametrize("before_pixels", [True, False])
@pytest.mark.parametrize("name", LARGE)
def test_what_is_no_pixel_is_neither_unpacked_nor_checked(name: str, before_pixels: bool) -> None:
    data = with_chunk(LARGE[name], before_pixels=before_pixels)
    assert read_picture(data).data == PLAIN
    np.testing.assert_array_equal(decode_chip(data, SPEC), decode_chip(PLAIN, SPEC))


def test_a_large_profile_changes_no_label(client: httpx2.Client) -> None:
    for path in ("/predict", "/preview"):
        answers = [
            client.post(path, content=data, headers={"content-type": "image/png"})
            for data in (PLAIN, with_chunk(LARGE["profile"]))
        ]
        assert [answer.status_code for answer in answers] == [200, 200]
        assert answers[0].content == answers[1].content


@pytest.mark.parametrize("mode", ["RGBA", "P", "L", "1", "I;16"])
@pytest.mark.parametrize("transparency", [False, True])
def test_the_pixels_of_every_mode_are_whole(mode: str, transparency: bool) -> None:
    text = PngInfo()
    text.add_text("note", "a text")
    options = {"transparency": 0} if transparency and mode != "RGBA" else {}
    data = encoded(Image.new(mode, (40, 50)), "PNG", pnginfo=text, **options)
    bare = read_picture(data)
    assert (bare.width, bare.height) == (40, 50)
    assert b"tEXt" in data
    assert b"tEXt" not in bare.data
    with Image.open(io.BytesIO(data)) as rich, Image.open(io.BytesIO(bare.data)) as plain:
        assert rich.mode == plain.mode
        assert rich.info.get("transparency") == plain.info.get("transparency")
        np.testing.assert_array_equal(np.asarray(rich), np.asarray(plain))


@pytest.mark.parametrize("kind", ["IHDR", "IDAT"])
def test_a_wrong_checksum_names_the_chunk(kind: str) -> None:
    damaged = bytearray(PLAIN)
    at = PLAIN.index(kind.encode())
    damaged[at + 4 + int.from_bytes(PLAIN[at - 4 : at])] ^= 1
    with pytest.raises(CorruptChip, match=f"checksum of the PNG's chunk {kind} is wrong"):
        decode_chip(bytes(damaged), SPEC)


@pytest.mark.parametrize("end", [b"", b"\0\0\0\0IEND", chunk(b"IEND")[:-1] + b"?", chunk(b"IEND", b"more")])
def test_the_end_may_be_missing_or_broken(end: bytes) -> None:
    whole = decode_chip(PLAIN, SPEC)
    np.testing.assert_array_equal(decode_chip(PLAIN[:-12] + end, SPEC), whole)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (PLAIN[:20], "ends inside its chunk IHDR"),
        (PLAIN[:8] + PLAIN[33:], "header is broken"),
        (PLAIN[:33] + PLAIN[8:], "two header chunks"),
        (PLAIN[:70], "ends inside its chunk IDAT"),
        (with_chunk(chunk(b"tEXt") * 1_000_000), f"more than {MAX_CHUNKS} chunks"),
        (with_chunk(chunk(b"IDAT") * 1_000_000), f"more than {MAX_CHUNKS} chunks"),
        (with_chunk(chunk(b"IDAT", zlib.compress(bytes(1 << 28), 1))), "far more data than pixels"),
    ],
    ids=["cut", "headless", "two headers", "cut pixels", "chunks", "pieces", "bomb"],
)
def test_a_bad_file_says_what_is_wrong_at_once(data: bytes, says: str) -> None:
    began_s = time.thread_time()
    with pytest.raises(CorruptChip, match=says):
        read_picture(data)
    assert time.thread_time() - began_s < 10


def test_pixels_in_many_small_pieces_are_accepted() -> None:
    at = PLAIN.index(b"IDAT")
    packed = PLAIN[at + 4 : at + 4 + int.from_bytes(PLAIN[at - 4 : at])]
    pieces = b"".join(chunk(b"IDAT", packed[i : i + 1]) for i in range(len(packed)))
    data = PLAIN[: at - 4] + pieces + chunk(b"IEND")
    np.testing.assert_array_equal(decode_chip(data, SPEC), decode_chip(PLAIN, SPEC))
