"""Chips as they might as well have been taken: turned, mirrored, shifted, from nearer or farther.

The eight views of a square chip (rotations by 90° and their mirror images, the group D4) are
exact on pixels, so label-preserving for anything seen from above. Free rotation, shift and zoom
resample the pixels and can push a label's only evidence over the edge.

Random numbers come from a generator on the CPU, so that any device sees the same chips.

Shape suffixes: B chips, H height, W width, C bands, K maps of a chip, h, w their size.
"""

import math
from typing import Literal

import torch
from torch import nn

VIEWS = 8
SHIFT = 0.1  # largest, as a share of the side
ZOOM = 1.2  # largest factor, and its inverse the smallest


def augment(
    chips_BHWC: torch.Tensor, kind: Literal["none", "views", "lossy"], generator: torch.Generator
) -> torch.Tensor:
    """Return every chip as drawn for it alone, on the chips' device.

    Views keep the dtype; lossy gives float32 in the same units, as rounding would only add noise.
    """
    match kind:
        case "none":
            return chips_BHWC
        case "views":
            return random_views(chips_BHWC, generator)
        case "lossy":
            return random_affine(chips_BHWC, generator)


def view(chips_BHWC: torch.Tensor, index: int) -> torch.Tensor:
    """Return view `index` (0..7) of every chip: `index % 4` quarter turns, mirrored from 4 on.

    Chips must be square: H == W.
    """
    turned_BHWC = torch.rot90(chips_BHWC, index % 4, dims=(1, 2))
    return turned_BHWC.flip(2) if index >= 4 else turned_BHWC


def unview(maps_BKhw: torch.Tensor, index: int) -> torch.Tensor:
    """Turn maps of view `index` back, so that they lie on the chip as it was; h == w."""
    mirrored_BKhw = maps_BKhw.flip(3) if index >= 4 else maps_BKhw
    return torch.rot90(mirrored_BKhw, -(index % 4), dims=(2, 3))


def random_views(chips_BHWC: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return every chip in a view drawn for it alone."""
    views_B = torch.randint(VIEWS, (len(chips_BHWC),), generator=generator)
    rows_V = [(views_B == index).nonzero()[:, 0] for index in range(VIEWS)]
    # Put together by indexing alone: torch cannot assign to a part of a uint16 tensor.
    grouped_BHWC = torch.cat([view(chips_BHWC[rows], index) for index, rows in enumerate(rows_V)])
    return grouped_BHWC[torch.cat(rows_V).argsort()]


def random_affine(chips_BHWC: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return every chip turned by any angle, shifted, zoomed and perhaps mirrored, as float32.

    What comes in over an edge is the chip's own reflection. All in one bilinear resampling.
    """
    planes_BCHW = chips_BHWC.permute(0, 3, 1, 2).float()
    places_B23 = _random_places(len(chips_BHWC), chips_BHWC.shape[2] / chips_BHWC.shape[1], generator)
    grid_BHW2 = nn.functional.affine_grid(
        places_B23.to(planes_BCHW.device), list(planes_BCHW.shape), align_corners=False
    )
    moved_BCHW = nn.functional.grid_sample(
        planes_BCHW, grid_BHW2, mode="bilinear", padding_mode="reflection", align_corners=False
    )
    return moved_BCHW.permute(0, 2, 3, 1)


def _random_places(count: int, aspect: float, generator: torch.Generator) -> torch.Tensor:
    """Draw where each chip's pixels come from: affine maps (B,2,3) of coordinates in -1..1."""
    turn_B, zoom_B, mirror_B, x_B, y_B = torch.rand(5, count, generator=generator)
    angle_B = 2 * math.pi * turn_B
    scale_B = ZOOM ** (2 * zoom_B - 1)
    sign_B = torch.where(mirror_B < 0.5, -1.0, 1.0)
    cos_B, sin_B = scale_B * angle_B.cos(), scale_B * angle_B.sin()
    # Angles are true in pixels; the coordinates stretch with the sides.
    row_x_B3 = torch.stack([sign_B * cos_B, -sin_B / aspect, SHIFT * 2 * (2 * x_B - 1)], dim=1)
    row_y_B3 = torch.stack([sign_B * sin_B * aspect, cos_B, SHIFT * 2 * (2 * y_B - 1)], dim=1)
    return torch.stack([row_x_B3, row_y_B3], dim=1)
