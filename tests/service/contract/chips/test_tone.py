import numpy as np

from service.contract.chips.tone import toned


def test_each_band_has_its_own_curve_and_place() -> None:
    # In the file's order: blue, green, red, near infrared. Read off the curves' knots.
    raw_HWC = np.full((2, 3, 4), (4510, 3660, 2460, 9999), np.uint16)
    assert (toned(raw_HWC) == (63, 74, 67)).all()


def test_grey_levels_rise_with_raw_values() -> None:
    ramp_HWC = np.repeat(np.arange(1 << 16, dtype=np.uint16)[:, None, None], 4, axis=2)
    greys_HWC = toned(ramp_HWC)
    assert greys_HWC.dtype == np.uint8
    assert (np.diff(greys_HWC.astype(int), axis=0) >= 0).all()
