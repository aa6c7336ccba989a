"""A check of LZW streams as TIFF writes them, for a decoder that believes every code.

imagecodecs looks up a stream's first code after each clear code in a table that is still empty, and
then reads where nobody wrote. Here every code is compared with what the table can hold at that
moment. That needs no decoding: the table grows by one entry per code, so a code's place since the
last clear code tells both how many bits it has and how large it may be.

Source: TIFF 6.0, section 13.
"""

import numpy as np
import numpy.typing as npt

from service.contract.errors import CorruptChip

_CLEAR, _END, _FIRST_FREE = 256, 257, 258
_MOST_CODES = 5000  # between two clear codes; a table is full after 3,838, and imagecodecs' own after 4,862

# Of the code at each place since the last clear code, which is not counted:
_PLACES = np.arange(_MOST_CODES, dtype=np.int32)
_ENTRIES = np.maximum(_FIRST_FREE - 1 + _PLACES, _FIRST_FREE)  # how many the table has when it comes
_BITS = np.select([_ENTRIES < 511, _ENTRIES < 1023, _ENTRIES < 2047], [9, 10, 11], 12).astype(np.int32)
_ENDS = np.cumsum(_BITS, dtype=np.int32)  # in bits since the clear code
_LARGEST = np.where(_PLACES == 0, 255, _ENTRIES)  # the next entry may be made by its own code

# A table is cleared every 4 KiB or more, except at a stream's end and where an encoder starts anew.
_CLEARS_BEYOND, _BYTES_PER_CLEAR = 64, 256


def check_lzw(stream: bytes) -> None:
    """Refuse a stream with a code that its table cannot have.

    What comes after the end code is never looked at, as a decoder never does.

    Raises:
        CorruptChip: says why.
    """
    if not stream:
        return
    if len(stream) < 2 or stream[0] != 0x80 or stream[1] & 0x80:
        raise CorruptChip(
            "the TIFF's LZW data does not begin with a clear code (very old files do not); save it anew"
        )
    bytes_N = np.frombuffer(stream + bytes(2), np.uint8)
    at, end = 9, 8 * len(stream)
    for _ in range(_CLEARS_BEYOND + len(stream) // _BYTES_PER_CLEAR):
        codes_K = _codes(bytes_N, at, int(np.searchsorted(_ENDS, end - at, "right")))
        special_S = np.flatnonzero((codes_K == _CLEAR) | (codes_K == _END))
        count = int(special_S[0]) if len(special_S) else len(codes_K)
        if (codes_K[:count] > _LARGEST[:count]).any():
            raise CorruptChip("the TIFF's LZW data has a code that means nothing yet; send the whole file")
        if count == _MOST_CODES:
            raise CorruptChip("the TIFF's LZW data outgrows its table; save it anew")
        if count == len(codes_K) or codes_K[count] == _END:
            return
        at += int(_ENDS[count])
    raise CorruptChip("the TIFF's LZW data starts anew again and again; save it anew")


def _codes(bytes_N: npt.NDArray[np.uint8], at: int, count: int) -> npt.NDArray[np.int32]:
    """Read so many codes from a bit on, which is the first after a clear code."""
    near_N = bytes_N[at >> 3 :]
    ends_K, bits_K = (at & 7) + _ENDS[:count], _BITS[:count]
    starts_K = ends_K - bits_K
    first_K = starts_K >> 3
    high_K, middle_K, low_K = (near_N[first_K + offset].astype(np.int32) for offset in range(3))
    words_K = high_K << 16 | middle_K << 8 | low_K
    codes_K: npt.NDArray[np.int32] = words_K >> (24 - (starts_K & 7) - bits_K) & ((1 << bits_K) - 1)
    return codes_K
