"""Painted chips of one file per band, in Sentinel-2's three resolutions.

Shape suffixes: H height, W width.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image

from service.contract.manifest import InputSpec
from service.contract.sensors import SENSORS
from tests.kit.ground import ground

SIDE_PX = 48  # of a chip, and of its bands of 20 m
SENSOR = "sentinel-2-l2a"
BANDS = SENSORS[SENSOR].bands
# As products write them, with a zero.
CODES = tuple(code if len(code) > 2 else f"B0{code[1]}" for code in SENSORS[SENSOR].codes)
METRES = {"blue": 10, "green": 10, "red": 10, "nir": 10, "coastal": 60, "nir09": 60}
SPEC = InputSpec(
    bands=("red", "green", "blue", *(band for band in BANDS if band not in ("red", "green", "blue"))),
    dtype="uint16",
    height=SIDE_PX,
    width=SIDE_PX,
    sensor=SENSOR,
    nodata=0,
)

Band = npt.NDArray[np.uint16]


def write_bands(folder: Path, pattern: str, seed: int = 0) -> dict[str, Band]:
    """Write a chip's bands, and return their pixels (H,W) by name.

    Args:
        folder: made if need be.
        pattern: of the files' names, with `{code}` or `{band}`, and `{metres}`.
        seed: of what they show.
    """
    written = {}
    for index, (band, code) in enumerate(zip(BANDS, CODES, strict=True)):
        metres = METRES.get(band, 20)
        pixels_HW = ground(100 * seed + index, SIDE_PX * 20 // metres)[..., 0].astype(np.uint16) * 20 + index
        path = folder / pattern.format(code=code, band=band, metres=metres)
        path.parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(path, pixels_HW, photometric="minisblack")
        written[band] = pixels_HW
    return written


def stacked(written: dict[str, Band]) -> npt.NDArray[np.uint16]:
    """Return the chip that these bands are, (H,W,C) in the order of `SPEC`."""
    sized = [
        Image.fromarray(written[band].astype(np.float32)).resize(
            (SIDE_PX, SIDE_PX), Image.Resampling.BILINEAR
        )
        for band in SPEC.bands
    ]
    return np.stack([np.asarray(band).round().astype(np.uint16) for band in sized], axis=-1)
