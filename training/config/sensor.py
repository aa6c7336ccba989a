"""A recipe for the chips of a sensor: all its bands, as numbers of its kind."""

from dataclasses import replace

from service.contract.chips.bands import RGB
from service.contract.sensors import SENSORS, band_name
from training.config.schema import RunConfig


def with_sensor(config: RunConfig, name: str | None, file_bands: str | None = None) -> RunConfig:
    """Return the recipe for a sensor's chips.

    Every member sees the colours first, as networks know them, and then all other bands; where
    there are others, they have a backbone of their own, whose maps join those of the colours.

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
    bands = tuple(band for band in sensor.bands if band in order)
    colours = tuple(band for band in RGB if band in bands)
    others = tuple(band for band in bands if band not in RGB)
    late = len(colours) == len(RGB) and others
    members = tuple(
        replace(member, bands=(*colours, *others), fusion="late" if late else "early")
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
