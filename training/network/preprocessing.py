"""Raw chips → the planes a backbone takes; part of the network, so of the exported graph too.

Every operation exists in ONNX and none computes shapes from the batch. Knows no labels and no
architecture: whoever builds the network says which planes it wants, and their mean and spread.

Shape suffixes: B chips, H height, W width, C the run's bands, P planes, K 1 plane.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from torch import nn

from service.contract.chips.bands import RGB

INDICES = {"ndvi": ("nir", "red"), "ndwi": ("green", "nir")}  # (a - b) / (a + b)
INDEX_STD = 0.5  # of an index's range of -1..1, about 0

WINDOW_PX = 15  # side of the dark channel's window
BRIGHTEST = 0.001  # share of a chip's pixels that tell the colour of its haze
KEPT_HAZE = 0.05  # the paper's 1 - ω: without a little haze, distance looks unnatural
LEAST_TRANSMISSION = 0.1  # less would magnify noise more than tenfold


_mean = partial(nn.functional.avg_pool2d, count_include_pad=False)


class Preprocessing(nn.Module):
    """Chooses bands, clears haze, adds indices, resizes and standardises."""

    def __init__(
        self,
        bands: Sequence[str],
        of: Sequence[str],
        *,
        size_px: int,
        full_scale: float,
        mean: Sequence[float],
        std: Sequence[float],
        indices: Sequence[str] = (),
        dehaze: bool = False,
        limits: Sequence[tuple[float, float]] | None = None,
        nodata: float | None = None,
        fill: Sequence[float] = (),
    ) -> None:
        """Build it.

        Args:
            bands: the planes to give, by name.
            of: the chips' bands, in order.
            size_px: side of the square that planes are resized to.
            full_scale: a band's largest value, such as 255.
            mean: what each band has as 0, in the chips' own units.
            std: what each band has as 1, in the chips' own units.
            indices: planes to give after the bands, `ndvi` and `ndwi`; computed from the chips as
                they are, since clearing haze changes the colours but not the near infrared.
            dehaze: clear red, green and blue of haze, each chip by itself.
            limits: between which values each plane of `bands` is brought; None leaves them.
            nodata: the value of pixels that show nothing; None if all show something.
            fill: what each band of `of` has there instead.

        Raises:
            ValueError: the chips lack a band that is needed.
        """
        super().__init__()
        needed = {*bands, *(band for index in indices for band in INDICES[index])}
        needed |= {*RGB} if dehaze else set()
        if lacking := sorted(needed - set(of)):
            raise ValueError(f"the chips have {', '.join(of)}; they lack {', '.join(lacking)}")
        if not len(bands) == len(mean) == len(std):
            raise ValueError(f"{len(bands)} bands need as many values in mean and std; give one for each")
        self._bands, self._of, self._indices = tuple(bands), tuple(of), tuple(indices)
        self._size_px, self._full_scale, self._dehaze = size_px, full_scale, dehaze
        self.mean: torch.Tensor
        self.std: torch.Tensor
        mean_P = torch.tensor([*mean, *(0.0 for _ in indices)])
        std_P = torch.tensor([*std, *(INDEX_STD for _ in indices)])
        self.register_buffer("mean", mean_P[:, None, None], persistent=False)
        self.register_buffer("std", std_P[:, None, None], persistent=False)
        self._nodata = nodata
        self.fill: torch.Tensor
        self.register_buffer("fill", torch.tensor([*fill])[:, None, None], persistent=False)
        self._limited = limits is not None
        self.low: torch.Tensor
        self.high: torch.Tensor
        free = (float("-inf"), float("inf"))
        low_P, high_P = torch.tensor([*(limits or ()), *(free for _ in indices)]).reshape(-1, 2).T
        self.register_buffer("low", low_P[:, None, None], persistent=False)
        self.register_buffer("high", high_P[:, None, None], persistent=False)

    def forward(self, chips_BHWC: torch.Tensor) -> torch.Tensor:
        """Return float32 planes (B,P,size,size) of chips in any real dtype."""
        chips_BCHW = chips_BHWC.permute(0, 3, 1, 2).float()
        if self._nodata is not None:
            chips_BCHW = torch.where(chips_BCHW == self._nodata, self.fill, chips_BCHW)
        planes_BPHW = self._planes(chips_BCHW)
        if self._limited:
            planes_BPHW = torch.minimum(torch.maximum(planes_BPHW, self.low), self.high)
        height, width = planes_BPHW.shape[-2:]
        if (height, width) != (self._size_px, self._size_px):
            # By factor, not by size: a size would put the batch's shape into the graph, which a
            # GPU session has to compute on the CPU.
            factor = (resize_factor(height, self._size_px), resize_factor(width, self._size_px))
            planes_BPHW = nn.functional.interpolate(planes_BPHW, scale_factor=factor, mode="bilinear")
        return (planes_BPHW - self.mean) / self.std

    def _planes(self, chips_BCHW: torch.Tensor) -> torch.Tensor:
        if self._bands == self._of and not self._indices and not self._dehaze:
            return chips_BCHW
        plane = {band: chips_BCHW[:, n : n + 1] for n, band in enumerate(self._of)}
        indices = [normalised_difference(*(plane[band] for band in INDICES[i])) for i in self._indices]
        if self._dehaze:
            cleared_BCHW = without_haze(torch.cat([plane[c] for c in RGB], dim=1), self._full_scale)
            plane |= {colour: cleared_BCHW[:, n : n + 1] for n, colour in enumerate(RGB)}
        return torch.cat([*(plane[band] for band in self._bands), *indices], dim=1)


def resize_factor(side_px: int, size_px: int) -> float:
    """Return the least float32, as ONNX keeps factors, that makes `size_px` of a side.

    The nearest float32 to 80/48 is a little less, and the side would lose a pixel.
    """
    factor = np.float32(size_px / side_px)
    return float(factor if side_px * float(factor) >= size_px else np.nextafter(factor, np.float32(np.inf)))


def normalised_difference(first_BKHW: torch.Tensor, second_BKHW: torch.Tensor) -> torch.Tensor:
    """Return (a - b) / (a + b), in -1..1, and 0 where both are 0.

    Source: NDVI of Rouse et al. 1974, "Monitoring vegetation systems in the Great Plains with
    ERTS"; NDWI of McFeeters 1996, "The use of the normalized difference water index".
    """
    return (first_BKHW - second_BKHW) / (first_BKHW + second_BKHW + 1e-6)


def without_haze(colours_BCHW: torch.Tensor, full_scale: float) -> torch.Tensor:
    """Return red, green and blue as they would be without haze, in 0..full_scale.

    A picture is J·t + A·(1 - t): the scene's light J, thinned by the transmission t, and haze of
    colour A. Somewhere near every pixel some colour is dark in J, so what it shows is haze. A is
    the mean of the pixels that are brightest in that dark channel. The transmission is smoothed
    by a box, which is one pooling, where the paper solves a matting problem.

    Source: He, Sun and Tang 2009, "Single image haze removal using dark channel prior".
    """
    dark_BKHW = _dark_channel(colours_BCHW)
    count = max(1, round(BRIGHTEST * dark_BKHW[0].numel()))
    # The pixels from the last of the brightest on, ties included: which of equal ones are the
    # first `count` is for every runtime to choose.
    limit_BK = dark_BKHW.flatten(1).topk(count, dim=1).values[:, -1:]
    hazy_BKHW = (dark_BKHW >= limit_BK[:, :, None, None]).float()
    # Means, not sums: those of a chip of one colour would leave half precision's range.
    mean_BC = (colours_BCHW * hazy_BKHW).mean(dim=(2, 3), keepdim=True)
    haze_BC = (mean_BC / hazy_BKHW.mean(dim=(2, 3), keepdim=True)).clamp(min=full_scale / 255)
    lost_BKHW = (1 - KEPT_HAZE) * _dark_channel(colours_BCHW / haze_BC)
    transmission_BKHW = (1 - _over_windows(_mean, lost_BKHW)).clamp(min=LEAST_TRANSMISSION)
    return ((colours_BCHW - haze_BC) / transmission_BKHW + haze_BC).clamp(0.0, full_scale)


def _dark_channel(colours_BCHW: torch.Tensor) -> torch.Tensor:
    return -_over_windows(nn.functional.max_pool2d, -colours_BCHW.amin(dim=1, keepdim=True))


def _over_windows(pool: Callable[..., torch.Tensor], planes_BKHW: torch.Tensor) -> torch.Tensor:
    """Pool every pixel's window, side after side: a third of the time of both at once."""
    columns_BKHW = pool(planes_BKHW, (WINDOW_PX, 1), stride=1, padding=(WINDOW_PX // 2, 0))
    return pool(columns_BKHW, (1, WINDOW_PX), stride=1, padding=(0, WINDOW_PX // 2))
