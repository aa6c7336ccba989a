"""Raw Planet values → grey levels, band by band.

Shape suffixes: H height, W width, C bands.
"""

import numpy as np
import numpy.typing as npt

from service.contract.chips.bands import PLANET_BANDS, RGB

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
_GREY_OF_RAW = {
    band: np.interp(np.arange(1 << 16), raw, grey).round().astype(np.uint8)
    for band, (raw, grey) in _STRETCH.items()
}


def toned(pixels_HWC: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint8]:
    """Return the visible bands of raw Planet values, (H,W,4) in `PLANET_BANDS`, as (H,W,3) RGB."""
    return np.stack([_GREY_OF_RAW[band][pixels_HWC[..., PLANET_BANDS.index(band)]] for band in RGB], axis=-1)
