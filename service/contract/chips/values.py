"""Whether numbers can be what a bundle knows, and which of them show nothing.

A file says how many bits a value has, rarely what it means. Reflectance times 10,000, raw counts
and grey levels look alike and are taken for each other; but few pixels of the one lie where nearly
all of the other do.

Shape suffixes: B chips, H height, W width, C bands.
"""

import numpy as np
import numpy.typing as npt

from service.contract.errors import WrongValues
from service.contract.manifest import InputSpec, Pixel
from service.contract.sensors import SENSORS

FOREIGN_SHARE = 0.9  # of a band's pixels beyond its limits; then the band is none of the kind
FOREIGN_BANDS = 0.5  # share of the bands
# Of the 2017 contest's chips where no training tells them: where the tone curves begin.
CONTEST_LIMITS = {"blue": (3330.0, 65535.0), "green": (2650.0, 65535.0), "red": (1560.0, 65535.0)}


def settled(pixels_HWC: npt.NDArray[Pixel], spec: InputSpec) -> npt.NDArray[Pixel]:
    """Return the pixels with the bundle's own value for those that show nothing.

    Raises:
        WrongValues: some are no numbers, and the bundle has no value for what shows nothing.
    """
    if pixels_HWC.dtype.kind != "f" or np.isfinite(pixels_HWC).all():
        return pixels_HWC
    if spec.nodata is None:
        raise WrongValues(
            "some pixels are NaN or infinite, and this bundle has no value for pixels that show nothing; "
            "fill them, or cut the chip elsewhere"
        )
    return np.where(np.isfinite(pixels_HWC), pixels_HWC, pixels_HWC.dtype.type(spec.nodata))


def blank_shares(chips_BHWC: npt.NDArray[Pixel], nodata: float) -> npt.NDArray[np.float64]:
    """Return of each chip the share of its pixels that show nothing: every band has that value."""
    blank_BHW = chips_BHWC[..., 0] == nodata
    for band in range(1, chips_BHWC.shape[-1]):
        if not blank_BHW.any():  # as of most chips
            break
        blank_BHW &= chips_BHWC[..., band] == nodata
    return np.asarray(blank_BHW.mean(axis=(1, 2)))


def check_values(pixels_HWC: npt.NDArray[Pixel], bands: tuple[str, ...], spec: InputSpec) -> None:
    """Refuse pixels that cannot be of the bundle's kind.

    Args:
        pixels_HWC: as they are in the file.
        bands: the last axis' names.
        spec: what the bundle knows; without limits nothing is refused.

    Raises:
        WrongValues: most of most bands lie where hardly any of the training pixels did.
    """
    known = _limits(spec)
    asked = [place for place, band in enumerate(bands) if band in known]
    if not asked:
        return
    low_C, high_C = np.array([known[bands[place]] for place in asked]).T
    asked_HWC = pixels_HWC[..., asked]
    shown_HWC = asked_HWC != spec.nodata if spec.nodata is not None else np.ones(asked_HWC.shape, np.bool_)
    foreign_HWC = shown_HWC & ((asked_HWC < low_C) | (asked_HWC > high_C))
    share_C = foreign_HWC.sum(axis=(0, 1)) / np.maximum(shown_HWC.sum(axis=(0, 1)), 1)
    if (share_C > FOREIGN_SHARE).mean() < FOREIGN_BANDS:
        return
    kind = SENSORS[spec.sensor].values if spec.sensor else "of the kind that the bundle was trained on"
    worst = int(share_C.argmax())
    found = np.median(asked_HWC[..., worst])
    raise WrongValues(
        f"the values cannot be {kind}: {share_C[worst]:.0%} of {bands[asked[worst]]} lie outside "
        f"{low_C[worst]:g} to {high_C[worst]:g} (median {found:g}); bring them to that scale, or use a "
        "bundle that was trained on values of this kind"
    )


def _limits(spec: InputSpec) -> dict[str, tuple[float, float]]:
    if spec.limits:
        return dict(zip(spec.bands, spec.limits, strict=True))
    return CONTEST_LIMITS if spec.sensor == "planet-contest" else {}
