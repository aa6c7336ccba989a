"""Shape suffixes: H height, W width, C bands."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies
from scipy import ndimage
from skimage.metrics import structural_similarity

from training.data.alignment import FOUND, MIN_TEXTURE, Alignment, Pixels, Verdict, align, overlap

SIDE_PX = 128


def ground(seed: int, margin_px: int = 0) -> Pixels:
    """Draw smooth random relief, in three bands that share most of it: float (H,W,3)."""
    random = np.random.default_rng(seed)
    side_px = SIDE_PX + 2 * margin_px
    shared, own = random.normal(size=(side_px, side_px, 1)), random.normal(size=(side_px, side_px, 3))
    noise_HWC = shared + own / 3
    relief_HWC: Pixels = sum(
        size * ndimage.gaussian_filter(noise_HWC, (size, size, 0)) for size in (1.5, 4, 8)
    )
    return np.asarray(relief_HWC / relief_HWC.std())


def raw(picture_HWC: Pixels) -> Pixels:
    return (5000 + 300 * picture_HWC).astype(np.uint16)


def toned(picture_HWC: Pixels) -> Pixels:
    """Another tone per band, bent, in few bits and with noise."""
    noise_HWC = np.random.default_rng(0).normal(size=picture_HWC.shape)
    bent_HWC = np.tanh(picture_HWC / 2) * (40, 25, 15) + (90, 120, 60) + noise_HWC
    return bent_HWC.clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize(("down_px", "right_px"), [(0, 0), (0, -22), (17, 5), (-3, 56)])
def test_a_shift_is_found_whatever_the_tone(down_px: int, right_px: int) -> None:
    margin_px = 56
    wide_HWC = ground(1, margin_px)
    first_HWC, second_HWC = (
        wide_HWC[margin_px + y : margin_px + y + SIDE_PX, margin_px + x : margin_px + x + SIDE_PX]
        for y, x in ((0, 0), (down_px, right_px))
    )
    found = align(raw(first_HWC), toned(second_HWC))
    assert (found.down_px, found.right_px) == pytest.approx((down_px, right_px), abs=0.2)
    assert found.verdict == ("shifted" if down_px or right_px else "same ground")
    assert min(found.similarity_C) > 0.5
    assert found.peak > FOUND


def test_a_shift_is_found_to_parts_of_a_pixel() -> None:
    wide_HWC = ground(2, 8)
    moved_HWC = ndimage.shift(wide_HWC, (0.4, -1.3, 0), order=3)
    found = align(*(raw(side_HWC[8:-8, 8:-8]) for side_HWC in (wide_HWC, moved_HWC)))
    assert (found.down_px, found.right_px) == pytest.approx((-0.4, 1.3), abs=0.1)
    assert found.verdict == "shifted"
    assert align(raw(wide_HWC), raw(ndimage.shift(wide_HWC, (0.5, 0, 0), order=3))).verdict == "same ground"


def test_other_ground_is_told_apart() -> None:
    for seed in range(5):
        found = align(raw(ground(seed)), toned(ground(seed + 100)))
        assert found.verdict == "different ground"
        assert (found.down_px, found.right_px) == (0, 0)


def rising(step: float) -> Pixels:
    rows_HW = np.arange(SIDE_PX)[:, None] * np.ones(SIDE_PX)
    return 100 + step * rows_HW[..., None] * np.ones(3)


@pytest.mark.parametrize("step", [0, 0.5])
@pytest.mark.parametrize("noise", [0, 1, 3])
def test_nothing_is_said_of_clouds_without_texture(step: float, noise: float) -> None:
    """Flat or evenly rising, each sensor with noise of its own."""
    random = np.random.default_rng(0)
    first, second = (rising(step) + random.normal(0, noise, (SIDE_PX, SIDE_PX, 3)) for _ in range(2))
    assert align(raw(first / 50), second.astype(np.uint8)).verdict == "cannot tell"


def test_nothing_is_said_of_a_picture_that_is_all_white() -> None:
    white = np.full((SIDE_PX, SIDE_PX, 3), 255, np.uint8)
    assert align(raw(ground(1)), white).verdict == "cannot tell"
    assert align(white, white).verdict == "cannot tell"


@pytest.mark.parametrize(
    ("peak", "right_px", "similarity", "texture", "verdict"),
    [
        (90, 0, 0.8, 0.2, "same ground"),
        (90, 0.9, 0.8, 0.2, "same ground"),
        (90, -1.1, 0.8, 0.2, "shifted"),
        (FOUND, 0, 0.1, MIN_TEXTURE, "same ground"),
        (FOUND - 1, 0, 0.1, 0.2, "different ground"),
        (FOUND - 1, 0, 0.3, 0.2, "cannot tell"),
        (FOUND - 1, 0, 0.1, MIN_TEXTURE / 2, "cannot tell"),
    ],
)
def test_the_verdict_follows_from_the_evidence(
    peak: float, right_px: float, similarity: float, texture: float, verdict: Verdict
) -> None:
    similarity_C = (similarity, similarity)
    found = Alignment(down_px=0, right_px=right_px, peak=peak, similarity_C=similarity_C, texture=texture)
    assert found.verdict == verdict


def test_similarity_is_scikit_images_on_standardised_bands() -> None:
    first_HWC, second_HWC = raw(ground(3)), toned(ground(3))
    expected = []
    for band in range(3):
        pair = [side[..., band].astype(float) for side in (first_HWC, second_HWC)]
        pair = [(side - side.mean()) / side.std() for side in pair]
        expected.append(structural_similarity(*pair, data_range=4))  # type: ignore[no-untyped-call]
    assert align(first_HWC, second_HWC).similarity_C == pytest.approx(expected, abs=1e-3)


@hypothesis.given(strategies.integers(-5, 5), strategies.integers(-5, 5))
def test_the_overlap_is_what_both_show(down_px: int, right_px: int) -> None:
    places_HW = np.arange(12 * 14).reshape(12, 14)
    second_HW = np.roll(places_HW, (-down_px, -right_px), (0, 1))
    shared = overlap(places_HW, second_HW, down_px, right_px)
    assert shared[0].shape == (12 - abs(down_px), 14 - abs(right_px))
    np.testing.assert_array_equal(*shared)
