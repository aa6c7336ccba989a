"""Which files a bundle takes: the orders of bands, the sizes, and the words for what is accepted.

Knows no format's bytes and decodes nothing.
"""

from service.contract.errors import TooManyPixels, WrongSize
from service.contract.manifest import Band, InputSpec

MAX_SIDE_PX = 4096
MIN_SIDE_PX = 32

RGB: tuple[Band, ...] = ("red", "green", "blue")
NEAR_INFRARED: Band = "near infrared"
# In a file's order: of a uint16 TIFF, of a uint8 TIFF.
PLANET_BANDS: tuple[Band, ...] = ("blue", "green", "red", NEAR_INFRARED)
RGBN: tuple[Band, ...] = (*RGB, NEAR_INFRARED)


def check_size(width_px: int, height_px: int) -> None:
    """Refuse a picture by the size that its header claims, before anything is made of it.

    Raises:
        TooManyPixels: a side is too long.
        WrongSize: a side is too short.
    """
    if MIN_SIDE_PX <= width_px <= MAX_SIDE_PX and MIN_SIDE_PX <= height_px <= MAX_SIDE_PX:
        return
    found = f"the image is {width_px}×{height_px} px"
    if max(width_px, height_px) > MAX_SIDE_PX:
        raise TooManyPixels(f"{found}; at most {MAX_SIDE_PX}×{MAX_SIDE_PX} is accepted: cut it into chips")
    raise WrongSize(f"{found}; at least {MIN_SIDE_PX}×{MIN_SIDE_PX} is needed")


def tiff_kinds(spec: InputSpec) -> tuple[tuple[int, str], ...]:
    """Return the TIFFs that hold what the bundle wants, as (bands, number type)."""
    if spec.dtype == "uint16":
        return ((4, "uint16"),)
    if NEAR_INFRARED in spec.bands:
        return ((4, "uint8"),)
    return ((3, "uint8"), (4, "uint8"), (4, "uint16"))


def accepted(spec: InputSpec) -> str:
    """Say which files a bundle takes, for an error's end."""
    match tiff_kinds(spec):
        case ((4, "uint16"),):
            return f"this bundle needs four-band uint16 TIFF chips (Planet {', '.join(PLANET_BANDS)})"
        case ((4, "uint8"),):
            return f"this bundle needs four-band uint8 TIFF chips ({', '.join(RGBN)})"
        case _:
            return (
                "accepted are JPEG and PNG (RGB) and TIFF (uint8 RGB or uint16 Planet "
                f"{', '.join(PLANET_BANDS)})"
            )
