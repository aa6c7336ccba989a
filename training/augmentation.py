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
    views_B = torch.randint(VIEWS, (len(chips_BHWC),), generator=generator)
    result_BHWC = torch.empty_like(chips_BHWC)
    for index in range(VIEWS):
        chosen_B = views_B == index
        result_BHWC[chosen_B] = view(chips_BHWC[chosen_B], index)
    return result_BHWC
