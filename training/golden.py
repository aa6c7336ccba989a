"""Golden chips: generated pictures on which a bundle's decisions are far from tipping.

A service that reproduces their labels has loaded the right graphs, runs them right, and
votes right. No data-set pixels in them.

Shape suffixes: K candidates, G golden chips, M members, L labels, H height, W width, C bands.
"""

import logging

import numpy as np
import numpy.typing as npt
from PIL import Image

from service.bundle import InputSpec, Pixel

log = logging.getLogger(__name__)

CANDIDATES = 48
CHIPS = 4


def candidates(spec: InputSpec, seed: int) -> npt.NDArray[Pixel]:
    """Draw smooth fields of random colours with random bars across: (K,H,W,C) of the input's dtype."""
    random = np.random.default_rng(seed)
    chips_KHWC = np.empty((CANDIDATES, spec.height, spec.width, len(spec.bands)), np.uint8)
    for chip_HWC in chips_KHWC:
        cells = int(random.integers(2, 33))
        for band in range(chip_HWC.shape[-1]):
            coarse = random.integers(0, 256, (cells, cells), dtype=np.uint8)
            fine = Image.fromarray(coarse).resize((spec.width, spec.height), Image.Resampling.BICUBIC)
            chip_HWC[..., band] = np.asarray(fine)
        for _ in range(int(random.integers(0, 4))):
            start, thickness = random.integers(0, spec.height), random.integers(2, 40)
            chip_HWC[start : start + thickness] = random.integers(0, 256, chip_HWC.shape[-1])
    if spec.dtype == "uint8":
        return chips_KHWC
    # Planet's raw values lie within 14 bits; the noise shows whether the low ones arrive.
    noise_KHWC = random.integers(0, 64, chips_KHWC.shape, dtype=np.uint16)
    return chips_KHWC.astype(np.uint16) * np.uint16(64) + noise_KHWC


def most_decided(
    probs_PMKL: npt.NDArray[np.float32], thresholds_ML: npt.NDArray[np.float32], quorum: int
) -> npt.NDArray[np.intp]:
    """Choose the candidates whose closest label is furthest from tipping, at every precision.

    A label tips when its quorum-th best member crosses its threshold.

    Args:
        probs_PMKL: probabilities at P precisions.
        thresholds_ML: the members' thresholds.
        quorum: members needed.

    Returns:
        Indices (G,).

    Raises:
        ValueError: no candidate gets the same labels at every precision.
    """
    margins_PMKL = np.sort(probs_PMKL - thresholds_ML[:, None], axis=1)
    deciding_PKL = margins_PMKL[:, -quorum]
    set_PKL = deciding_PKL >= 0
    same_K = (set_PKL == set_PKL[0]).all(axis=(0, 2))
    distance_K = np.where(same_K, np.abs(deciding_PKL).min(axis=(0, 2)), -1)
    if not same_K.any():
        raise ValueError("no generated chip gets the same labels at every precision; calibrate on more chips")
    chosen_G = np.argsort(-distance_K)[: min(CHIPS, same_K.sum())]
    log.info("golden chips: every decision at least %.3f from tipping", distance_K[chosen_G].min())
    return chosen_G
