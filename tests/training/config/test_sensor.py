import pytest

from service.contract.sensors import SENSORS
from tests.kit import stripes
from training.config.schema import checked
from training.config.sensor import with_sensor


@pytest.mark.parametrize("name", SENSORS)
def test_every_member_sees_all_bands_colours_first(name: str) -> None:
    config = checked(with_sensor(stripes.CONFIG, name))
    sensor = SENSORS[name]
    assert (config.sensor, config.bands, config.dtype) == (name, sensor.bands, sensor.dtype)
    for member in config.members:
        assert sorted(member.bands) == sorted(sensor.bands)
        assert member.bands[:3] == ("red", "green", "blue")
        assert member.fusion == "late"


def test_files_may_have_an_order_of_their_own() -> None:
    config = with_sensor(stripes.CONFIG, "naip", "nir,red,green,blue")
    assert config.file_bands == ("nir", "red", "green", "blue")
    assert config.bands == SENSORS["naip"].bands
    with pytest.raises(ValueError, match="no sensor 'modis'; there are planet-contest"):
        with_sensor(stripes.CONFIG, "modis")
    with pytest.raises(ValueError, match="name it with --sensor"):
        with_sensor(stripes.CONFIG, None, "red")
    assert with_sensor(stripes.CONFIG, None) is stripes.CONFIG
