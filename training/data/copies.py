"""Decoded chips → which of them are copies of one another: the same pixels, or nearly.

A fingerprint is coarse light and dark, 8×8, which finds pairs, and for each of 32×32 places whether
it is lighter than its surroundings, which judges them: beaches resemble one another coarsely, but
their details do not agree. Knows pixels only: no names, no files, no labels.

Shape suffixes: N chips, H height, W width, C bands, D values of a fingerprint, P pairs.
"""

import hashlib
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from training.run.progress import in_threads

FINE, MIDDLE, COARSE = 32, 8, 8  # places along a side
# Measured on 1,680 aerial chips: all copies recompressed at JPEG quality 50 are found, 199 of 200
# at quality 20, 194 of 200 moved by two pixels. No two different chips are joined; the most
# similar, of one beach, agree in 0.81 of their details.
ALIKE = 0.95  # correlation of the coarse values
AGREEING = 0.83  # share of details
# A drawing of flat areas, or a chip that is mostly border, has too little to tell it from others:
# of such only exact copies are found.
DETAILED = 0.75  # share of places that differ from their surroundings
ROWS, PAIRS = 512, 4096  # at a time: 50,000 chips take 100 MB

Pairs = npt.NDArray[np.int64]  # (P,2), the smaller index first


class Copies(NamedTuple):
    """Pairs of chips that show the same; chained pairs stand for all others among them."""

    same_P2: Pairs  # every pixel
    alike_P2: Pairs  # recompressed, resampled, moved by a pixel or two


def find_copies(chips_NHWC: npt.NDArray[Any]) -> Copies:
    """Compare all chips with all others; 50,000 take about a minute, most of it for reading.

    Args:
        chips_NHWC: of any bands and number type; may be memory-mapped.
    """
    found = list(in_threads(partial(_print, chips_NHWC), range(len(chips_NHWC)), "look for copies"))
    digests, coarse, details, detailed = zip(*found, strict=True)
    first_of: dict[bytes, int] = {}
    first_N = np.array([first_of.setdefault(digest, row) for row, digest in enumerate(digests)])
    copies_N = np.flatnonzero(first_N != np.arange(len(first_N)))
    same_P2 = np.stack([first_N[copies_N], copies_N], axis=1)
    # One of each picture, and only what has enough detail to be judged.
    judged_N = np.flatnonzero((first_N == np.arange(len(first_N))) & (np.array(detailed) >= DETAILED))
    alike_P2 = _alike(np.stack(coarse)[judged_N], np.stack(details)[judged_N])
    return Copies(same_P2, judged_N[alike_P2])


def _print(
    chips_NHWC: npt.NDArray[Any], row: int
) -> tuple[bytes, npt.NDArray[np.float32], npt.NDArray[np.uint8], float]:
    """Return digest, coarse values (mean 0, length 1), details as bits, and their share."""
    chip_HWC = np.ascontiguousarray(chips_NHWC[row])
    fine_DD = _mean_by_place(chip_HWC)
    middle_DD = _shrunk(fine_DD, MIDDLE)
    coarse_D = _shrunk(middle_DD, COARSE).ravel()
    coarse_D = coarse_D - coarse_D.mean()
    length = np.linalg.norm(coarse_D)
    each = FINE // MIDDLE
    detail_DD = fine_DD - middle_DD.repeat(each, axis=0).repeat(each, axis=1)
    # What rounding leaves of a flat area is no detail.
    has_DD = np.abs(detail_DD) > 1e-5 * np.abs(fine_DD).max(initial=0)
    return (
        hashlib.blake2b(chip_HWC.data, digest_size=16).digest(),
        (coarse_D / length if length else coarse_D).astype(np.float32),
        np.packbits(has_DD & (detail_DD > 0)),
        float(has_DD.mean()),
    )


def _mean_by_place(chip_HWC: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return the mean over the bands of each place; of values that are none, as of 0."""
    for axis in (0, 1):
        if chip_HWC.shape[axis] < FINE:
            chip_HWC = chip_HWC.repeat(-(-FINE // chip_HWC.shape[axis]), axis=axis)
    if chip_HWC.dtype.kind == "f":
        chip_HWC = np.nan_to_num(chip_HWC, posinf=0, neginf=0)
    height, width, bands = chip_HWC.shape
    rows, columns = (np.linspace(0, side, FINE + 1).astype(np.int64) for side in (height, width))
    flat_HX = chip_HWC.reshape(height, width * bands)
    # No sum of a row overflows: 4,096 px by 64 rows of 16 bits.
    exact = {"u": np.uint64, "i": np.int64}.get(chip_HWC.dtype.kind, np.float64)
    first = np.uint32 if exact is np.uint64 else exact  # twice as fast
    sums_DX = np.add.reduceat(flat_HX, rows[:-1], axis=0, dtype=first)
    sums_DD = np.add.reduceat(sums_DX, columns[:-1] * bands, axis=1, dtype=exact)
    return np.asarray(sums_DD / (np.diff(rows)[:, None] * np.diff(columns) * bands))


def _shrunk(values_DD: npt.NDArray[np.float64], side: int) -> npt.NDArray[np.float64]:
    each = len(values_DD) // side
    return np.asarray(values_DD.reshape(side, each, side, each).mean(axis=(1, 3)))


def _alike(coarse_ND: npt.NDArray[np.float32], details_ND: npt.NDArray[np.uint8]) -> Pairs:
    """Return the pairs whose coarse values and details agree."""
    found = [np.empty((0, 2), np.int64)]
    for start in range(0, len(coarse_ND), ROWS):
        rows_P, columns_P = divmod(
            np.flatnonzero(coarse_ND[start : start + ROWS] @ coarse_ND[start:].T >= ALIKE),
            len(coarse_ND) - start,
        )
        candidates_P2 = np.stack([rows_P, columns_P], axis=1)[rows_P < columns_P] + start
        for first in range(0, len(candidates_P2), PAIRS):
            one_P, other_P = candidates_P2[first : first + PAIRS].T
            different_PD = np.bitwise_count(details_ND[one_P] ^ details_ND[other_P])
            agreeing_P = 1 - different_PD.sum(axis=1, dtype=np.int64) / FINE**2
            found.append(candidates_P2[first : first + PAIRS][agreeing_P >= AGREEING])
    return np.concatenate(found)
