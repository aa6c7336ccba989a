"""Chips as a sensor sees them: detail everywhere, and GeoTIFFs that say where they lie.

Shape suffixes: H height, W width, C bands.
"""

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image

UTM_21S = 32721


def ground(seed: int, size_px: int = 64) -> npt.NDArray[np.uint8]:
    """Return smooth random hills with grain on them, uint8 (H,W,3)."""
    random = np.random.default_rng(seed)
    hills_HWC = _blurred(random.normal(size=(size_px, size_px, 3)), size_px / 10)
    grain_HWC = _blurred(random.normal(size=(size_px, size_px, 3)), 1.0)
    pixels_HWC = 120 + 35 * hills_HWC / hills_HWC.std() + 12 * grain_HWC / grain_HWC.std()
    return np.asarray(pixels_HWC.clip(0, 255), np.uint8)


def _blurred(noise_HWC: npt.NDArray[np.float64], sigma_px: float) -> npt.NDArray[np.float64]:
    """Blur by a Gaussian, each side going on at the opposite one: its transform is one too."""
    row_H1, column_W = np.fft.fftfreq(len(noise_HWC))[:, np.newaxis], np.fft.fftfreq(noise_HWC.shape[1])
    gain_HW = np.exp(-2 * (np.pi * sigma_px) ** 2 * (row_H1**2 + column_W**2))
    waves_HWC = np.fft.fft2(noise_HWC, axes=(0, 1)) * gain_HW[..., np.newaxis]
    return np.asarray(np.fft.ifft2(waves_HWC, axes=(0, 1)).real)


def recompressed(pixels_HWC: npt.NDArray[np.uint8], quality: int) -> npt.NDArray[np.uint8]:
    stream = io.BytesIO()
    Image.fromarray(pixels_HWC).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream).convert("RGB"))


def write_geotiff(path: Path, pixels_HWC: npt.NDArray[np.uint8], east_m: float, north_m: float) -> Path:
    """Write a chip of 1 m pixels whose upper left corner lies so far from a place in Brazil."""
    keys = [1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, UTM_21S]
    corner = (0.0, 0.0, 0.0, 500_000 + east_m, 9_000_000 + north_m, 0.0)
    tags = [(34735, "H", len(keys), keys, True), (33550, "d", 3, (1.0, 1.0, 0.0), True)]
    tifffile.imwrite(path, pixels_HWC, photometric="rgb", extratags=[*tags, (33922, "d", 6, corner, True)])
    return path
