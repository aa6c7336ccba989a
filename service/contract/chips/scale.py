"""How much larger or smaller a chip shows the ground than what a bundle knows, in words.

A chip of any size is brought to the bundle's. Where that, or the file's own resolution, changes the
scale by far, the networks look at what they were never trained on, and the answer says so. Where
both sides tell their resolution that decides, and else the size: a chip of twice the pixels, each
half as wide, shows what the bundle knows. Knows no pixels.
"""

from service.contract.chips.georeference import resolution_m
from service.contract.chips.tiff_directory import SIGNATURES
from service.contract.manifest import InputSpec

MOST = 1.5  # times; training itself varies the scale by less, and aerial chips are a few pixels off
_FIX = "map the scene it is from, in windows of the right size: chipvote map FILE"


def scale_warnings(data: bytes, size_px: tuple[int, int], spec: InputSpec) -> list[str]:
    """Return what should be known of a chip that was brought to the bundle's size.

    Args:
        data: the file; only a TIFF is looked at, and only for a bundle that knows its resolution.
        size_px: width and height that it had.
        spec: the bundle's.
    """
    shrunk = [size_px[0] / spec.width, size_px[1] / spec.height]
    known_m = spec.ground_resolution_m
    found_m = resolution_m(data) if known_m and data.startswith(SIGNATURES) else None
    if known_m is None or found_m is None:
        return _of_size(size_px, shrunk, spec)
    farthest = _farthest([found_m * factor / known_m for factor in shrunk])
    if not _is_far(farthest):
        return []
    return [
        f"the chip's pixels are {found_m:.3g} m wide on the ground, {found_m * _farthest(shrunk):.3g} m as "
        f"it was brought to {spec.width}×{spec.height} px, and this bundle knows {known_m:.3g} m: what it "
        f"shows is {_times(farthest)} than what the bundle knows; {_FIX}"
    ]


def _of_size(size_px: tuple[int, int], shrunk: list[float], spec: InputSpec) -> list[str]:
    farthest = _farthest(shrunk)
    if not _is_far(farthest):
        return []
    did = "squeezed" if farthest > 1 else "stretched"
    return [
        f"the chip is {size_px[0]}×{size_px[1]} px and was {did} to {spec.width}×{spec.height}: what it "
        f"shows is {_times(farthest)} than what the bundle knows; {_FIX}"
    ]


def _farthest(factors: list[float]) -> float:
    return max(factors, key=lambda factor: max(factor, 1 / factor))


def _is_far(factor: float) -> bool:
    return not 1 / MOST <= factor <= MOST


def _times(factor: float) -> str:
    """Say how things look: the more ground a pixel shows, the smaller is what stands on it."""
    return f"{factor:.3g} times smaller" if factor > 1 else f"{1 / factor:.3g} times larger"
