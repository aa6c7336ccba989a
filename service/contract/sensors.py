"""What bands are called, and the sensors whose chips people have.

Names are the common names of STAC's `eo` extension; a band that has none there, such as `vv` or
`elevation`, may have a name of its own. Knows no file and no pixels.

Source: STAC extension "eo" 2.0, common band names; the sensors' product guides.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator

Dtype = Literal["uint8", "uint16", "int16", "float32"]

COMMON_NAMES = (
    "coastal", "blue", "green", "green05", "yellow", "red", "rededge071", "rededge075", "rededge078", "nir",
    "nir08", "nir09", "cirrus", "swir16", "swir22", "lwir11", "pan",
)  # fmt: skip
# What files and people write for them, in small letters and digits alone.
_OTHER_NAMES = {
    "nearinfrared": "nir", "infrared": "nir", "nir1": "nir", "nearir": "nir", "coastalaerosol": "coastal",
    "coastalblue": "coastal", "ultrablue": "coastal", "aerosol": "coastal", "greeni": "green05",
    "green1": "green05", "greenii": "green", "rededge": "rededge071", "rededge1": "rededge071",
    "vegetationrededge1": "rededge071", "rededge2": "rededge075", "rededge3": "rededge078",
    "rededge4": "nir08", "narrownir": "nir08", "nirnarrow": "nir08", "watervapour": "nir09",
    "watervapor": "nir09", "swir1": "swir16", "swir2": "swir22", "panchromatic": "pan",
}  # fmt: skip
_LETTERS = {"r": "red", "g": "green", "b": "blue", "n": "nir"}  # of whole descriptions in a file
_MODIFIERS = {"edge", "near", "narrow", "short", "shortwave", "thermal"}  # a word beside them is another band
_CODE = re.compile(r"(?<![a-z0-9])(?:b|band[ _-]?(?=\d+a))0*(\d{1,2}a?)(?![a-z0-9])", re.IGNORECASE)
_PATTERN = r"[a-z][a-z0-9_-]*"


def common_name(name: str) -> str | None:
    """Return the common name that a whole name stands for, None if it is another."""
    plain = plain_name(name)
    return plain if plain in COMMON_NAMES else _OTHER_NAMES.get(plain)


def plain_name(name: str) -> str:
    """Return a name's small letters and digits alone, by which names are compared."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def band_name(name: str) -> str:
    """Return a band's name as this project writes it: `near infrared` and `NIR` are `nir`.

    Raises:
        ValueError: it is no name.
    """
    if known := common_name(name):
        return known
    if not re.fullmatch(_PATTERN, name):
        raise ValueError(f"{name!r} is no band's name; write small letters, digits, - and _, a letter first")
    return name


Band = Annotated[str, AfterValidator(band_name)]


@dataclass(frozen=True)
class Sensor:
    """Whose chips: their bands in the order of its files, and what their values are."""

    bands: tuple[str, ...]
    dtype: Dtype
    values: str  # what a number means, for people
    resolution_m: float
    codes: tuple[str, ...] = ()  # the product's own band codes, in the same order
    nodata: float | None = None


_SENTINEL_2 = (
    "coastal", "blue", "green", "red", "rededge071", "rededge075", "rededge078", "nir", "nir08", "nir09",
    "cirrus", "swir16", "swir22",
)  # fmt: skip
_SENTINEL_2_CODES = ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9", "B10", "B11", "B12")
_REFLECTANCE = "reflectance × 10,000"

SENSORS = {
    "planet-contest": Sensor(
        ("blue", "green", "red", "nir"), "uint16", "raw values of the 2017 Planet contest", 3.7
    ),
    "planetscope-4": Sensor(("blue", "green", "red", "nir"), "uint16", _REFLECTANCE, 3.0, nodata=0),
    "superdove-8": Sensor(
        ("coastal", "blue", "green05", "green", "yellow", "red", "rededge071", "nir"),
        "uint16",
        _REFLECTANCE,
        3.0,
        nodata=0,
    ),
    "sentinel-2-l1c": Sensor(_SENTINEL_2, "uint16", _REFLECTANCE, 10.0, _SENTINEL_2_CODES, 0),
    "sentinel-2-l2a": Sensor(
        tuple(name for name in _SENTINEL_2 if name != "cirrus"),
        "uint16",
        _REFLECTANCE,
        10.0,
        tuple(code for code in _SENTINEL_2_CODES if code != "B10"),
        0,
    ),
    "landsat-8-9": Sensor(
        ("coastal", "blue", "green", "red", "nir08", "swir16", "swir22"),
        "uint16",
        "scaled surface reflectance of Collection 2",
        30.0,
        ("B1", "B2", "B3", "B4", "B5", "B6", "B7"),
        0,
    ),
    "naip": Sensor(("red", "green", "blue", "nir"), "uint8", "grey levels", 0.6),
}


def named_in_file(description: str, sensor: str | None) -> str | None:
    """Return the band that a file's own words name, None where they name none.

    Args:
        description: such as `B8A`, `SR_B4`, `Red`, `near_infrared` or `Band 3 (nir)`.
        sensor: whose codes they may be, and whose only infrared is `nir`.
    """
    known = SENSORS.get(sensor or "")
    if name := common_name(description) or _LETTERS.get(description.strip().lower()):
        return (known and only_infrared(known.bands)) or name if name == "nir" else name
    codes = band_codes(description)
    if known and known.codes and codes:
        named = dict(zip(known.codes, known.bands, strict=True))
        return named.get(codes[0]) if len(codes) == 1 else None
    inside = re.findall(r"[a-z0-9]+", description.lower())
    found = {word for word in inside if word in COMMON_NAMES}
    return found.pop() if len(found) == 1 and _MODIFIERS.isdisjoint(inside) else None


def band_codes(description: str) -> list[str]:
    """Return what is written like a product's codes, as `B8A`; not the temperatures `ST_B10`."""
    without = re.sub(r"(?i)(?<![a-z0-9])st_?b\d+", "", description)
    return [f"B{found.upper()}" for found in dict.fromkeys(_CODE.findall(without))]


def only_infrared(bands: Iterable[str]) -> str | None:
    """Return the only near infrared among bands: Landsat has no other, and people call it `nir`."""
    infrared = {band for band in bands if band.startswith("nir")}
    return infrared.pop() if len(infrared) == 1 else None
