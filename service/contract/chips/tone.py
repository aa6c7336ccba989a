"""Raw values → grey levels, band by band.

Shape suffixes: H height, W width, C bands.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from service.contract.chips.bands import RGB

# Displayed grey level of a raw Planet value, per band: a rising piecewise line fitted by
# `benchmarks/quality/planet_stretch.py` on the pairs of TIFF and JPEG chips whose pixels correlate
# as they lie. Moving all pairs into place first changes the mean error on left-out pairs by less
# than 2 %. Planet's own JPEGs are toned scene by scene, so this is the average scene's tone.
_STRETCH = {
    "red": (
        (1560, 1860, 2120, 2460, 3810, 4560, 5860, 18770),
        (13.1, 47.2, 56.1, 63.0, 128.6, 129.6, 170.2, 233.9),
    ),
    "green": (
        (2650, 2960, 3280, 3660, 4550, 6010, 7000, 15370),
        (32.0, 65.8, 65.8, 74.0, 121.0, 135.0, 159.0, 208.0),
    ),
    "blue": (
        (3330, 3640, 3980, 4510, 5150, 6950, 7980, 22250),
        (28.7, 49.0, 66.7, 66.7, 106.5, 127.9, 146.6, 226.1),
    ),
}
_STRETCHED = (2, 98)  # percentiles that become black and white
_GREY_OF_RAW = {
    band: np.interp(np.arange(1 << 16), raw, grey).round().astype(np.uint8)
    for band, (raw, grey) in _STRETCH.items()
}


def toned(pixels_HWC: npt.NDArray[Any], bands: Sequence[str]) -> npt.NDArray[np.uint8]:
    """Return the visible bands of raw Planet values (H,W,C), `bands` by name, as (H,W,3) RGB."""
    return np.stack([_GREY_OF_RAW[band][pixels_HWC[..., bands.index(band)]] for band in RGB], axis=-1)


def stretched(pixels_HWC: npt.NDArray[Any], nodata: float | None = None) -> npt.NDArray[np.uint8]:
    """Bring each band's usual values to 0..255, so that a dark raw picture can be looked at.

    What shows nothing, pixels of value `nodata`, is black and counts for no percentile.
    """
    floats_HWC = pixels_HWC.astype(np.float64)
    if nodata is not None:
        floats_HWC[pixels_HWC == nodata] = np.nan
    low_C, high_C = (np.nan_to_num(np.nanpercentile(floats_HWC, share, axis=(0, 1))) for share in _STRETCHED)
    unit_HWC = (floats_HWC - low_C) / np.maximum(high_C - low_C, 1e-9)
    return np.asarray((np.nan_to_num(unit_HWC).clip(0, 1) * 255).round(), np.uint8)
