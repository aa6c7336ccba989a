"""The eight views of a square chip: rotations by 90° and their mirror images (the group D4).

Exact on pixels, so label-preserving for anything seen from above.

Shape suffixes: B chips, H height, W width, C bands.
"""

import torch

VIEWS = 8


def view(chips_BHWC: torch.Tensor, index: int) -> torch.Tensor:
    """Return view `index` (0..7) of every chip: `index % 4` quarter turns, mirrored from 4 on.

    Chips must be square: H == W.
    """
    turned_BHWC = torch.rot90(chips_BHWC, index % 4, dims=(1, 2))
    return turned_BHWC.flip(2) if index >= 4 else turned_BHWC


def random_views(chips_BHWC: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return every chip in a view drawn for it alone."""
    views_B = torch.randint(VIEWS, (len(chips_BHWC),), generator=generator).tolist()
    # Not by masks: PyTorch cannot write selected rows of uint16.
    return torch.cat([view(chips_BHWC[chip : chip + 1], index) for chip, index in enumerate(views_B)])
