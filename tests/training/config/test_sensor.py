import pytest

from service.contract.sensors import SENSORS
from tests.kit import stripes
from training.config.schema import checked
from training.config.sensor import false_colours, with_sensor


@pytest.mark.parametrize("name", SENSORS)
def test_every_member_sees_all_bands_colours_first(name: str) -> None:
    config = checked(with_sensor(stripes.CONFIG, name))
    sensor = SENSORS[name]
    assert (config.sensor, config.bands, config.dtype) == (name, sensor.bands, sensor.dtype)
    for member in config.members:
        assert sorted(member.bands) == sorted(sensor.bands)
        assert member.bands[:3] == ("red", "green", "blue")
        assert member.fusion == "false-colour"


def test_files_may_have_an_order_of_their_own() -> None:
    config = with_sensor(stripes.CONFIG, "naip", "nir,red,green,blue")
    assert config.file_bands == ("nir", "red", "green", "blue")
    assert config.bands == SENSORS["naip"].bands
    with pytest.raises(ValueError, match="no sensor 'modis'; there are planet-contest"):
        with_sensor(stripes.CONFIG, "modis")
    with pytest.raises(ValueError, match="name it with --sensor"):
        with_sensor(stripes.CONFIG, None, "red")
    assert with_sensor(stripes.CONFIG, None) is stripes.CONFIG


@pytest.mark.parametrize(
    ("sensor", "expected"),
    [
        ("naip", (("nir",), ("red",), ("green",))),
        ("superdove-8", (("nir",), ("rededge071", "red"), ("green", "green05"))),
        ("landsat-8-9", (("swir22", "swir16"), ("nir08",), ("red",))),
        (
            "sentinel-2-l2a",
            (
                ("swir22", "swir16"),
                ("nir", "nir08", "rededge078", "rededge075"),
                ("rededge071", "red"),
            ),
        ),
    ],
)
def test_false_colours_are_of_the_longest_waves(sensor: str, expected: tuple[tuple[str, ...], ...]) -> None:
    assert false_colours(SENSORS[sensor].bands) == expected


@pytest.mark.parametrize("bands", ["red green blue", "red green blue vv vh", "nir red", ""])
def test_without_infrared_there_are_no_false_colours(bands: str) -> None:
    assert false_colours(bands.split()) == ()


def test_without_infrared_bands_come_in_by_a_wider_stem() -> None:
    config = checked(with_sensor(stripes.CONFIG, "superdove-8", "coastal,blue,green05,green,yellow,red"))
    assert {member.fusion for member in config.members} == {"early"}


@pytest.mark.parametrize(
    ("order", "says"),
    [
        ("red,grean,blue,nir", "has grean, which naip has not, and lacks green"),
        ("red,green,blue,red", "red twice"),
    ],
)
def test_a_misspelt_order_is_refused(order: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        with_sensor(stripes.CONFIG, "naip", order)
