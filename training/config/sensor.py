"""A recipe for the chips of a sensor: all its bands, as numbers of its kind."""

from collections.abc import Sequence
from dataclasses import replace

from service.contract.chips.bands import RGB
from service.contract.sensors import SENSORS, band_name
from training.config.schema import RunConfig

# From the longest waves to the shortest. Shortwave infrared, near infrared and red is the picture
# in which people tell crops from forest, and built from bare ground; near infrared, red and green
# is that of films for infrared light.
REGIONS = (
    ("swir22", "swir16"),
    ("nir", "nir08", "rededge078", "rededge075"),
    ("rededge071", "red"),
    ("green", "green05"),
    ("blue",),
)
INFRARED = {*REGIONS[0], *REGIONS[1]}


def false_colours(bands: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Return the bands of which each plane of a false-colour picture is the mean.

    They are those of the three longest-waved regions that there are bands of; () where there are
    fewer, or none of the infrared.
    """
    regions = [tuple(band for band in region if band in bands) for region in REGIONS]
    shown = tuple(filter(None, regions))[:3]
    return shown if len(shown) == 3 and not INFRARED.isdisjoint(bands) else ()


def _check_order(order: Sequence[str], name: str) -> None:
    """Refuse what is likely misspelt: a strange band in an order that lacks one of the sensor's."""
    if twice := [band for band in dict.fromkeys(order) if order.count(band) > 1]:
        raise ValueError(f"--file-bands names {', '.join(twice)} twice; name each band once")
    lacking = [band for band in SENSORS[name].bands if band not in order]
    strange = [band for band in order if band not in SENSORS[name].bands]
    if lacking and strange:
        raise ValueError(
            f"--file-bands has {', '.join(strange)}, which {name} has not, and lacks {', '.join(lacking)}; "
            "write the sensor's own names"
        )


def with_sensor(config: RunConfig, name: str | None, file_bands: str | None = None) -> RunConfig:
    """Return the recipe for a sensor's chips.

    Every member sees the colours, as networks know them, and by a second backbone, whose maps join
    those of the colours, all bands as false colours: the best of what
    `benchmarks/quality/bands.py` compares.

    Args:
        config: any recipe.
        name: of the sensor; None leaves the recipe as it is.
        file_bands: the bands in the order in which these files hold them, if that is another, with
            commas between.

    Raises:
        ValueError: there is no such sensor, a band is none, or bands come without a sensor.
    """
    if name is None:
        if file_bands:
            raise ValueError("--file-bands tells the order of a sensor's bands; name it with --sensor")
        return config
    sensor = SENSORS.get(name)
    if sensor is None:
        raise ValueError(f"no sensor {name!r}; there are {', '.join(SENSORS)}")
    order = tuple(map(band_name, file_bands.split(","))) if file_bands else sensor.bands
    _check_order(order, name)
    bands = tuple(band for band in sensor.bands if band in order)
    colours = tuple(band for band in RGB if band in bands)
    others = tuple(band for band in bands if band not in RGB)
    both = len(colours) == len(RGB) and false_colours(bands)
    members = tuple(
        replace(member, bands=(*colours, *others), fusion="false-colour" if both else "early")
        for member in config.members
    )
    return replace(
        config,
        sensor=name,
        bands=bands,
        file_bands=order if file_bands else (),
        dtype=sensor.dtype,
        nodata=sensor.nodata,
        resolution_m=sensor.resolution_m,
        members=members,
    )
