"""A chip of any bands and depth → a small JPEG inside a page.

Shape suffixes: H height, W width, C bands.
"""

import base64
import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

SIZE_PX = 144
QUALITY = 82
STRETCH = (2.0, 98.0)  # percentiles of a band that become black and white
RGB = ("red", "green", "blue")


def as_rgb(chip_HWC: npt.NDArray[np.uint8 | np.uint16], bands: Sequence[str]) -> npt.NDArray[np.uint8]:
    """Show a chip as people expect it: uint8 (H,W,3).

    uint8 stays as it is. uint16 is stretched band by band between two percentiles of this chip,
    so two chips' brightness cannot be compared.

    Args:
        chip_HWC: the pixels.
        bands: the last axis' names; without red, green and blue the first is shown in grey.
    """
    channels = [bands.index(band) for band in RGB] if set(RGB) <= set(bands) else [0, 0, 0]
    shown_HW3 = chip_HWC[..., channels]
    if shown_HW3.dtype == np.uint8:
        return np.ascontiguousarray(shown_HW3, np.uint8)
    low_3, high_3 = np.percentile(shown_HW3, STRETCH, axis=(0, 1))
    unit_HW3 = (shown_HW3 - low_3) / np.maximum(high_3 - low_3, 1)
    return np.asarray((unit_HW3.clip(0, 1) * 255).round(), np.uint8)


def data_uri(chip_HWC: npt.NDArray[np.uint8 | np.uint16], bands: Sequence[str]) -> str:
    """Return a small JPEG of the chip as an address that needs no file."""
    image = Image.fromarray(as_rgb(chip_HWC, bands))
    image.thumbnail((SIZE_PX, SIZE_PX), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()
