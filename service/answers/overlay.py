"""Evidence over its chip, as a picture: one label's, or all of them side by side.

Only evidence in favour is coloured, each label's on a scale of its own: from nothing at 0 to full
at the map's highest value. The page draws the same in the browser (`web/evidence.js`).

Shape suffixes: H height, W width, h and w rows and columns of a map.
"""

import io
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

Chip = npt.NDArray[np.uint8]

_COLOURS = ((110, 30, 200), (240, 50, 110), (255, 225, 80))  # at 0, half and full
_STRENGTH = 0.78  # how much of the chip full evidence hides
_COLUMNS = 4
_CAPTION_PX = 24
_GAP_PX = 8
_NARROWEST_PX = 120  # what a caption needs


def png(image: Image.Image) -> bytes:
    """Encode a picture."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def overlay(chip_HW3: Chip, grid_hw: Sequence[Sequence[float]]) -> Image.Image:
    """Colour a chip where a label's evidence lies.

    Args:
        chip_HW3: RGB.
        grid_hw: the label's map, in logits, rows from the top.
    """
    height_px, width_px = chip_HW3.shape[:2]
    grid = Image.fromarray(np.array(grid_hw, np.float32))
    logits_HW = np.asarray(grid.resize((width_px, height_px), Image.Resampling.BILINEAR), np.float64)
    share_HW = np.clip(logits_HW / max(np.max(grid_hw), 1e-9), 0, 1)
    stops = np.linspace(0, 1, len(_COLOURS))
    colour_HW3 = np.stack([np.interp(share_HW, stops, band) for band in zip(*_COLOURS, strict=True)], axis=-1)
    hidden_HW1 = _STRENGTH * share_HW[..., np.newaxis]
    return Image.fromarray((chip_HW3 * (1 - hidden_HW1) + colour_HW3 * hidden_HW1).round().astype(np.uint8))


def sheet(chip_HW3: Chip, grids: Mapping[str, Sequence[Sequence[float]]]) -> Image.Image:
    """Show a chip, and beside it each label's evidence under the label's name."""
    tiles = [("chip", Image.fromarray(chip_HW3))]
    tiles += [(label, overlay(chip_HW3, grid_hw)) for label, grid_hw in grids.items()]
    height_px, width_px = chip_HW3.shape[:2]
    across_px, down_px = max(width_px, _NARROWEST_PX) + _GAP_PX, height_px + _CAPTION_PX + _GAP_PX
    columns = min(_COLUMNS, len(tiles))
    rows = -(-len(tiles) // columns)
    result = Image.new("RGB", (columns * across_px + _GAP_PX, rows * down_px + _GAP_PX), "white")
    draw, font = ImageDraw.Draw(result), ImageFont.load_default(size=15)
    for index, (caption, tile) in enumerate(tiles):
        x = _GAP_PX + index % columns * across_px
        y = _GAP_PX + index // columns * down_px
        draw.text((x, y), caption, "black", font)
        result.paste(tile, (x, y + _CAPTION_PX))
    return result
