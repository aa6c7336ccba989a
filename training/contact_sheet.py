"""Rows of pictures with captions → one PNG, to judge by eye what numbers say.

Shape suffixes: H height, W width, C bands.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from training.workspace import whole_file

CELL_PX = 192
CAPTION_PX = 18
SHOWN_PERCENT = (2, 98)  # of a band's values lie between black and white


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
    with whole_file(path) as partial:
        sheet.save(partial)


def stretched(pixels_HWC: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Bring each band's usual values to 0..255, so that a dark raw picture can be looked at."""
    low_C, high_C = np.percentile(pixels_HWC, SHOWN_PERCENT, axis=(0, 1))
    shown_HWC = (pixels_HWC - low_C) / np.maximum(high_C - low_C, 1)
    return np.asarray(255 * shown_HWC.clip(0, 1), np.uint8)
