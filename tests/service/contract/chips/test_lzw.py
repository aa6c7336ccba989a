import random

import imagecodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.contract.chips.lzw import check_lzw
from service.contract.errors import CorruptChip


def packed(codes: list[int]) -> bytes:
    """Write codes of nine bits, as a stream begins."""
    bits = "".join(f"{code:09b}" for code in codes)
    return int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8))


@given(st.binary(max_size=3000), st.integers(1, 40))
def test_what_an_encoder_writes_is_accepted(data: bytes, times: int) -> None:
    check_lzw(bytes(imagecodecs.lzw_encode(data * times)))


@pytest.mark.parametrize("values", [1, 2, 20, 256])
def test_tables_may_fill_and_start_anew(values: int) -> None:
    data = np.random.default_rng(0).integers(0, values, 300_000, np.uint8).tobytes()
    stream = bytes(imagecodecs.lzw_encode(data))
    check_lzw(stream)
    assert imagecodecs.lzw_decode(stream, out=len(data)) == data


@pytest.mark.parametrize(
    ("codes", "fine"),
    [
        ([256, 65, 257], True),
        ([256, 65, 258, 257], True),  # an entry made by its own code
        ([256, 65, 66, 258, 257], True),
        ([256, 65, 259, 257], False),
        ([256, 258, 257], False),  # the first code is no byte
        ([256, 65, 258, 256, 258, 257], False),  # nor that after another clear code
        ([256, 256, 65, 257], True),
        ([256, 65, 257, 511, 511], True),  # nobody reads what follows the end
        ([256, 65], True),
        ([256, 257], True),
    ],
)
def test_codes_are_compared_with_the_table(codes: list[int], fine: bool) -> None:
    if fine:
        check_lzw(packed(codes))
    else:
        with pytest.raises(CorruptChip, match="means nothing yet"):
            check_lzw(packed(codes))


@pytest.mark.parametrize(
    ("stream", "says"),
    [
        (bytes.fromhex("80492050"), "means nothing yet"),
        (b"\x80", "does not begin with a clear code"),
        (b"\0\1hello", "does not begin with a clear code"),  # as some did before TIFF 5
        (b"\x80\x80", "does not begin with a clear code"),
        (packed([256] * 100_000), "starts anew again and again"),
        (packed([256]) + bytes(20_000), "outgrows its table"),
    ],
)
def test_hostile_streams_are_refused(stream: bytes, says: str) -> None:
    with pytest.raises(CorruptChip, match=says):
        check_lzw(stream)


def reference(stream: bytes) -> bool:
    """Tell by the textbook, code by code, whether a stream can be decoded."""
    bits, at, width, free, first = int.from_bytes(stream), 0, 9, 258, True
    total = 8 * len(stream)
    while at + width <= total:
        code = bits >> (total - at - width) & ((1 << width) - 1)
        at += width
        if code == 257:
            return True
        if code == 256:
            width, free, first = 9, 258, True
            continue
        if code > (255 if first else free):
            return False
        free += not first
        first = False
        width = 9 + sum(free >= limit for limit in (511, 1023, 2047))
    return True


def test_damaged_streams_are_judged_as_by_the_textbook() -> None:
    generator = random.Random(0)
    verdicts = []
    for _ in range(1500):
        size, values = generator.randrange(1, 2500), generator.randrange(1, 257)
        stream = bytearray(imagecodecs.lzw_encode(bytes(generator.randrange(values) for _ in range(size))))
        for _ in range(generator.randrange(4)):
            stream[generator.randrange(2, len(stream))] = generator.randrange(256)
        try:
            check_lzw(bytes(stream))
            verdicts.append(True)
        except CorruptChip:
            verdicts.append(False)
        assert verdicts[-1] == reference(bytes(stream))
    assert 300 < sum(verdicts) < 1200
