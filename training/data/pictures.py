"""Chips of any bands and depth as pictures for people: small in a page, or a sheet to judge by eye.

Shape suffixes: H height, W width, C bands.
"""

import base64
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from service.contract.chips.bands import RGB
from service.contract.chips.tone import stretched
from service.contract.files import atomic_write
from service.contract.manifest import Pixel

THUMBNAIL_PX, QUALITY = 144, 82
CELL_PX, CAPTION_PX = 192, 18  # of a sheet


def as_rgb(chip_HWC: npt.NDArray[Pixel], bands: Sequence[str]) -> npt.NDArray[np.uint8]:
    """Show a chip as people expect it: uint8 (H,W,3).

    uint8 stays as it is. All else is stretched band by band between two percentiles of this chip,
    so two chips' brightness cannot be compared.

    Args:
        chip_HWC: the pixels.
        bands: the last axis' names; without red, green and blue the first is shown in grey.
    """
    channels = [bands.index(band) for band in RGB] if set(RGB) <= set(bands) else [0, 0, 0]
    shown_HW3 = chip_HWC[..., channels]
    if shown_HW3.dtype == np.uint8:
        return np.ascontiguousarray(shown_HW3, np.uint8)
    return stretched(shown_HW3)


def data_uri(chip_HWC: npt.NDArray[Pixel], bands: Sequence[str]) -> str:
    """Return a small JPEG of the chip as an address that needs no file."""
    image = Image.fromarray(as_rgb(chip_HWC, bands))
    image.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()


def write_sheet(
    path: Path, titles: Sequence[str], rows: Sequence[tuple[str, Iterable[npt.NDArray[np.uint8]]]]
) -> None:
    """Write one row per caption, its pictures under the titles.

    Args:
        path: the PNG.
        titles: one per column.
        rows: captions, each with one uint8 (H,W,3) or (H,W) picture per column.
    """
    height_px = CAPTION_PX + len(rows) * (CELL_PX + CAPTION_PX)
    sheet = Image.new("RGB", (CELL_PX * len(titles), height_px), "white")
    pen = ImageDraw.Draw(sheet)
    for column, title in enumerate(titles):
        pen.text((column * CELL_PX + 4, 3), title, fill="black")
    for row, (caption, pictures) in enumerate(rows):
        top_px = CAPTION_PX + row * (CELL_PX + CAPTION_PX)
        pen.text((4, top_px + 3), caption, fill="black")
        for column, picture in enumerate(pictures):
            cell = Image.fromarray(picture).resize((CELL_PX, CELL_PX), Image.Resampling.BILINEAR)
            sheet.paste(cell, (column * CELL_PX, top_px + CAPTION_PX))
    with atomic_write(path) as partial:
        sheet.save(partial)
