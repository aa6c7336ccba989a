"""Shape suffixes: H height, W width, C bands."""

import numpy as np
import pytest

from service.contract.chips.values import blank_shares, check_values, settled
from service.contract.errors import WrongValues
from service.contract.manifest import InputSpec

BANDS = ("red", "nir")
SPEC = InputSpec.model_validate(
    {"bands": BANDS, "dtype": "uint16", "height": 8, "width": 8, "sensor": "planetscope-4",
     "limits": ((200, 4000), (500, 7000)), "nodata": 0}
)  # fmt: skip
RANDOM = np.random.default_rng(0)


def chip(low: int, high: int, dtype: str = "uint16") -> np.ndarray:
    return RANDOM.integers(low, high, (16, 16, 2)).astype(dtype)


def test_values_of_the_kind_are_taken_also_when_unusual() -> None:
    check_values(chip(500, 4000), BANDS, SPEC)
    bright_HWC = chip(500, 4000)
    bright_HWC[:14] = 9000  # a cloud over most of it
    check_values(bright_HWC, BANDS, SPEC)


def test_values_of_another_kind_are_refused() -> None:
    for found_HWC in (chip(0, 150) + 1, chip(20000, 60000)):
        with pytest.raises(WrongValues, match=r"cannot be reflectance × 10,000: 100% of .* lie outside"):
            check_values(found_HWC, BANDS, SPEC)


def test_what_shows_nothing_says_nothing() -> None:
    half_HWC = chip(500, 4000)
    half_HWC[1:] = 0
    check_values(half_HWC, BANDS, SPEC)
    check_values(np.zeros((16, 16, 2), np.uint16), BANDS, SPEC)


def test_a_bundle_without_limits_takes_any() -> None:
    check_values(chip(20000, 60000), BANDS, SPEC.model_copy(update={"limits": ()}))


def test_no_numbers_become_nodata_or_are_refused() -> None:
    spec = SPEC.model_copy(update={"dtype": "float32", "nodata": -1.0})
    pixels_HWC = chip(0, 9, "float32")
    pixels_HWC[0, 0] = (np.nan, np.inf)
    assert (settled(pixels_HWC, spec)[0, 0] == -1).all()
    with pytest.raises(WrongValues, match="NaN or infinite, and this bundle has no value"):
        settled(pixels_HWC, spec.model_copy(update={"nodata": None}))
    assert settled(chip(0, 9), spec).dtype == np.uint16


def test_a_pixel_shows_nothing_if_every_band_has_the_value() -> None:
    chips_BHWC = np.stack([chip(1, 9), chip(1, 9), np.zeros((16, 16, 2), np.uint16)])
    chips_BHWC[1, :4] = 0
    chips_BHWC[0, :, :, 1] = 0
    assert blank_shares(chips_BHWC, 0).tolist() == [0, 0.25, 1]
