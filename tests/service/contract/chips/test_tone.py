import numpy as np

from service.contract.chips.tone import stretched, toned
from service.contract.sensors import SENSORS

BANDS = SENSORS["planet-contest"].bands


def test_each_band_has_its_own_curve_and_place() -> None:
    # In the file's order: blue, green, red, nir. Read off the curves' knots.
    raw_HWC = np.full((2, 3, 4), (4510, 3660, 2460, 9999), np.uint16)
    assert (toned(raw_HWC, BANDS) == (63, 74, 67)).all()


def test_grey_levels_rise_with_raw_values() -> None:
    ramp_HWC = np.repeat(np.arange(1 << 16, dtype=np.uint16)[:, None, None], 4, axis=2)
    greys_HWC = toned(ramp_HWC, BANDS)
    assert greys_HWC.dtype == np.uint8
    assert (np.diff(greys_HWC.astype(int), axis=0) >= 0).all()


def test_a_stretch_leaves_out_what_shows_nothing() -> None:
    ramp_HWC = np.arange(100, 1100, dtype=np.int16).reshape(20, 50, 1)
    half_HWC = np.concatenate([ramp_HWC, np.full_like(ramp_HWC, -9999)])
    np.testing.assert_array_equal(stretched(half_HWC, -9999)[:20], stretched(ramp_HWC))
    assert not stretched(half_HWC, -9999)[20:].any()
    assert not stretched(np.full((4, 4, 2), 700, np.uint16)).any()  # flat: no division by 0
