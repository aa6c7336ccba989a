"""Which files a bundle takes: the bands, the sizes, and the words for what is accepted.

Knows no format's bytes and decodes nothing.
"""

from service.contract.errors import TooManyPixels, WrongBands, WrongSize
from service.contract.manifest import InputSpec
from service.contract.sensors import SENSORS

MAX_BANDS = 64  # of a file
MAX_SIDE_PX = 4096
MIN_SIDE_PX = 32

RGB = ("red", "green", "blue")
CONTEST = SENSORS["planet-contest"]


def check_size(width_px: int, height_px: int, least_px: int = MIN_SIDE_PX) -> None:
    """Refuse a picture by the size that its header claims, before anything is made of it.

    Args:
        width_px: as claimed.
        height_px: as claimed.
        least_px: what each must be; one of a chip's bands may be coarser than the chip.

    Raises:
        TooManyPixels: a side is too long.
        WrongSize: a side is too short.
    """
    if least_px <= min(width_px, height_px) and max(width_px, height_px) <= MAX_SIDE_PX:
        return
    found = f"the image is {width_px}×{height_px} px"
    if max(width_px, height_px) > MAX_SIDE_PX:
        raise TooManyPixels(
            f"{found}; at most {MAX_SIDE_PX}×{MAX_SIDE_PX} is accepted: cut it into chips, or label it in "
            "windows: chipvote map FILE --out labels.gpkg"
        )
    raise WrongSize(f"{found}; at least {least_px}×{least_px} is needed")


def takes_pictures(spec: InputSpec) -> bool:
    """Tell whether a bundle wants no more than any colour picture gives."""
    return spec.dtype == "uint8" and set(spec.bands) <= set(RGB) <= set(spec.order)


def check_grey(name: str, spec: InputSpec) -> None:
    """Refuse a grey picture, unless the bundle takes them.

    Raises:
        WrongBands: says what it is and what would do.
    """
    if not spec.grey:
        raise WrongBands(
            f"the {name} is grey, and this bundle was trained on colours: send it in colours, or "
            f"train with --grey; {accepted(spec)}"
        )


def accepted(spec: InputSpec) -> str:
    """Say which files a bundle takes, for an error's end."""
    if takes_pictures(spec):
        grey = " or grey" if spec.grey else ""
        return (
            f"accepted are JPEG, PNG, WebP and JPEG 2000 (RGB{grey}) and TIFF (uint8 RGB{grey} or the "
            f"uint16 {', '.join(CONTEST.bands)} of the Planet contest)"
        )
    sensor = f", {spec.sensor}: {SENSORS[spec.sensor].values}" if spec.sensor else ""
    if len(spec.order) == 1:
        return f"needed is a TIFF of one band of {spec.dtype} ({spec.order[0]}{sensor})"
    return (
        f"this bundle needs TIFF chips of {len(spec.order)} bands of {spec.dtype} "
        f"({', '.join(spec.order)}{sensor})"
    )
