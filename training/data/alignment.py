"""Do two pictures show the same ground, and how far is one moved against the other?

Made for a chip's TIFF and JPEG, which differ in tone: the shift comes from gradients, the
similarity from each band's structure. Knows no files.

Shape suffixes: H height, W width, C bands.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import fft, ndimage
from skimage.metrics import structural_similarity
from skimage.registration import phase_cross_correlation

Verdict = Literal["same ground", "shifted", "different ground", "cannot tell"]
Pixels = npt.NDArray[Any]
Image = npt.NDArray[np.float32]

# Chosen on 20 real pairs of TIFF and JPEG and the 380 false ones that these make crosswise: the
# lowest peak of a true pair is 39 times the surface's spread, the highest of a false one 11.
FOUND = 20.0
MAX_SHIFT_PX = 1.0
# Same pairs, not moved: true ones that lie on each other have 0.48 and more, false ones 0.05 and
# less but for two pairs of clouds.
ALIKE = 0.2
# Same pairs: 0.04 and more; noise, on a flat or evenly rising picture: 0.01 and less.
MIN_TEXTURE = 0.02
FLAT = 0.5  # grey levels or raw steps; a band that varies by less shows nothing
STEPS_PER_PX = 20
NOISE_REACH_PX = 3  # gradients this far apart share no pixel
DISPLAYED_RANGE = 4.0  # standard deviations between a usual picture's black and white


@dataclass(frozen=True, kw_only=True, slots=True)
class Alignment:
    """How two pictures lie on each other."""

    down_px: float  # moved by this, the second lies on the first; 0 where no shift stands out
    right_px: float
    peak: float  # of the phase correlation, in standard deviations of its surface
    similarity_C: tuple[float, ...]  # structural, per band, once moved
    texture: float  # of the flatter picture; 0 is noise or nothing

    @property
    def verdict(self) -> Verdict:
        """What the numbers say; ground is called different only where there was ground to find."""
        if self.peak >= FOUND:
            moved_px = math.hypot(self.down_px, self.right_px)
            return "same ground" if moved_px <= MAX_SHIFT_PX else "shifted"
        # Smooth clouds look alike and have nothing to align.
        if self.texture < MIN_TEXTURE or np.mean(self.similarity_C) >= ALIKE:
            return "cannot tell"
        return "different ground"


def align(first_HWC: Pixels, second_HWC: Pixels) -> Alignment:
    """Compare two pictures of one size in the same bands, of any tone and number type.

    Shifts of up to half a side are found.

    Source: Guizar-Sicairos et al. 2008, "Efficient subpixel image registration algorithms";
        Wang et al. 2004, "Image quality assessment: from error visibility to structural
        similarity".
    """
    first_CHW, second_CHW = (np.stack([_standardised(b) for b in _bands(p)]) for p in (first_HWC, second_HWC))
    gradients = [_gradient(bands_CHW.mean(axis=0)) for bands_CHW in (first_CHW, second_CHW)]
    peak = _peak(*gradients)
    down_px, right_px = 0.0, 0.0
    if peak >= FOUND:
        shift_px, _, _ = phase_cross_correlation(  # type: ignore[no-untyped-call]
            *gradients, upsample_factor=STEPS_PER_PX
        )
        # The steps are of float32, and the search may leave a negative zero.
        down_px, right_px = (round(float(step), 2) + 0.0 for step in shift_px)
    shared = overlap(first_HWC, second_HWC, round(down_px), round(right_px))
    return Alignment(
        down_px=down_px,
        right_px=right_px,
        peak=peak,
        similarity_C=tuple(_similarity(*pair) for pair in zip(*map(_bands, shared), strict=True)),
        texture=min(map(_texture, gradients)),
    )


def overlap(first_HWC: Pixels, second_HWC: Pixels, down_px: int, right_px: int) -> tuple[Pixels, Pixels]:
    """Cut both pictures to the ground they share when the second is moved down and right."""
    height, width = first_HWC.shape[:2]
    first = (
        slice(max(down_px, 0), height + min(down_px, 0)),
        slice(max(right_px, 0), width + min(right_px, 0)),
    )
    second = (
        slice(max(-down_px, 0), height + min(-down_px, 0)),
        slice(max(-right_px, 0), width + min(-right_px, 0)),
    )
    return first_HWC[first], second_HWC[second]


def _bands(pixels_HWC: Pixels) -> Pixels:
    return np.moveaxis(pixels_HWC, -1, 0)


def _standardised(picture_HW: Pixels, flat: float = FLAT) -> Image:
    """Return mean 0 and standard deviation 1, or zeros for what is flat."""
    floats_HW = picture_HW.astype(np.float32)
    spread = floats_HW.std()
    return (floats_HW - floats_HW.mean()) / spread if spread > flat else np.zeros_like(floats_HW)


def _gradient(brightness_HW: Image) -> Image:
    """Return how steep the picture is, without its border, where the filter makes an edge."""
    steepness_HW = np.hypot(ndimage.sobel(brightness_HW, 0), ndimage.sobel(brightness_HW, 1))[1:-1, 1:-1]
    return _standardised(steepness_HW, flat=1e-3)


def _peak(first_HW: Image, second_HW: Image) -> float:
    """Return how far the highest point of the phase correlation stands out; noise gives about 5."""
    product_HW = fft.fft2(first_HW) * np.conj(fft.fft2(second_HW))
    surface_HW = fft.ifft2(product_HW / np.maximum(np.abs(product_HW), 1e-9)).real
    spread = surface_HW.std()
    return float(surface_HW.max() / spread) if spread > 0 else 0.0


def _texture(gradient_HW: Image) -> float:
    """Return the correlation of gradients too far apart to share noise."""
    down = gradient_HW[NOISE_REACH_PX:] * gradient_HW[:-NOISE_REACH_PX]
    right = gradient_HW[:, NOISE_REACH_PX:] * gradient_HW[:, :-NOISE_REACH_PX]
    return float(down.mean() + right.mean()) / 2


def _similarity(first_HW: Pixels, second_HW: Pixels) -> float:
    pair = _standardised(first_HW), _standardised(second_HW)
    if not all(picture_HW.any() for picture_HW in pair):
        return 0.0  # two flat bands are alike without saying anything
    found = structural_similarity(*pair, data_range=DISPLAYED_RANGE)  # type: ignore[no-untyped-call]
    return float(found)
