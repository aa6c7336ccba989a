"""Golden chips: generated pictures on which a bundle's decisions are far from tipping.

A service that reproduces their labels has loaded the right graphs, runs them right, and
votes right. No data-set pixels in them.

Shape suffixes: K candidates, G golden chips, M members, L labels, H height, W width, C bands,
W ways to move.
"""

import logging
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
from PIL import Image

from service.contract.decision import Decider
from service.contract.manifest import InputSpec, Pixel

log = logging.getLogger(__name__)

CANDIDATES = 48
CHIPS = 4
STEPS = np.geomspace(0.001, 0.5, 30)  # of probability


def candidates(spec: InputSpec, seed: int) -> npt.NDArray[Pixel]:
    """Draw smooth random colours with random bars across: (K,H,W,C) of the input's dtype."""
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
    if spec.limits:
        low_C, high_C = np.array(spec.limits).T
        values_KHWC = low_C + (high_C - low_C) * (chips_KHWC + random.random(chips_KHWC.shape)) / 256
        return np.asarray(values_KHWC, spec.dtype)
    # Planet's raw values lie within 14 bits; the noise shows whether the low ones arrive.
    noise_KHWC = random.integers(0, 64, chips_KHWC.shape, dtype=np.uint16)
    return np.asarray(chips_KHWC.astype(np.uint16) * np.uint16(64) + noise_KHWC, spec.dtype)


def most_decided(probs_PMKL: npt.NDArray[np.float32], decider: Decider) -> npt.NDArray[np.intp]:
    """Choose the candidates whose label sets are furthest from tipping, at every precision.

    Every probability is moved by ever larger steps: all up, all down, and each label's up with
    the others' down. A chip's distance is the last step before its label set first changes. No
    other way tips a vote sooner, so its distances are exact to the step.

    Args:
        probs_PMKL: probabilities at P precisions.
        decider: the rule.

    Returns:
        Indices (G,).

    Raises:
        ValueError: no candidate gets the same labels at every precision.
    """
    labels_KL = decider.decide(probs_PMKL[0]).labels_BL
    steady_K = _unchanged(probs_PMKL, labels_KL, decider)
    same = int(steady_K.sum())
    if not same:
        raise ValueError("no generated chip gets the same labels at every precision; calibrate on more chips")
    distance_K = np.where(steady_K, 0.0, -1.0)
    for step in STEPS:
        moved_PMKL = (_moved(probs_MKL, step) for probs_MKL in probs_PMKL)
        steady_K &= _unchanged((p for copies in moved_PMKL for p in copies), labels_KL, decider)
        distance_K[steady_K] = step
        if not steady_K.any():
            break
    chosen_G = np.argsort(-distance_K, kind="stable")[: min(CHIPS, same)]
    log.info("golden chips: every decision at least %.3f from tipping", distance_K[chosen_G].min())
    return chosen_G


def _moved(probs_MKL: npt.NDArray[np.float32], step: float) -> Iterator[npt.NDArray[np.float32]]:
    labels = probs_MKL.shape[2]
    ways_WL = np.concatenate([np.ones((1, labels)), np.full((1, labels), -1.0), 2 * np.eye(labels) - 1])
    for way_L in ways_WL:
        yield (probs_MKL + step * way_L).clip(0, 1).astype(np.float32)


def _unchanged(
    probs: Iterable[npt.NDArray[np.float32]], labels_KL: npt.NDArray[np.bool_], decider: Decider
) -> npt.NDArray[np.bool_]:
    same = [(decider.decide(probs_MKL).labels_BL == labels_KL).all(axis=1) for probs_MKL in probs]
    return np.asarray(np.all(same, axis=0))
