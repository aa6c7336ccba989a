import pytest

from service.contract.sensors import COMMON_NAMES, SENSORS, band_name, named_in_file


@pytest.mark.parametrize(
    ("written", "name"),
    [("near infrared", "nir"), ("NIR", "nir"), ("SWIR 1", "swir16"), ("coastal_aerosol", "coastal"),
     ("vv", "vv"), ("elevation", "elevation")],
)  # fmt: skip
def test_a_band_has_one_name(written: str, name: str) -> None:
    assert band_name(written) == name


@pytest.mark.parametrize("written", ["", "1st", "Some band"])
def test_what_is_no_name_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="is no band's name"):
        band_name(written)


@pytest.mark.parametrize(
    ("description", "sensor", "name"),
    [
        ("B8A", "sentinel-2-l2a", "nir08"),
        ("B08", "sentinel-2-l1c", "nir"),
        ("B10", "sentinel-2-l1c", "cirrus"),
        ("B10", "sentinel-2-l2a", None),
        ("SR_B5", "landsat-8-9", "nir08"),
        ("B5", None, None),
        ("Near Infrared", None, "nir"),
        ("Band 3 (red)", None, "red"),
        ("Band 3", "naip", None),
        ("Undefined", None, None),
        ("red or green", None, None),
        ("R", None, "red"),
        ("B4, central wavelength 665 nm", "sentinel-2-l2a", "red"),
        ("B8A_20200101", "sentinel-2-l1c", "nir08"),
        ("Band 8A", "sentinel-2-l1c", "nir08"),
        ("ST_B6", "landsat-8-9", None),
        ("NIR", "landsat-8-9", "nir08"),
        ("Red Edge 705", None, None),
        ("865nm", "sentinel-2-l1c", None),
    ],
)
def test_a_files_words_name_a_band_or_none(description: str, sensor: str | None, name: str | None) -> None:
    assert named_in_file(description, sensor) == name


@pytest.mark.parametrize("name", SENSORS)
def test_every_sensor_is_whole(name: str) -> None:
    sensor = SENSORS[name]
    assert set(sensor.bands) <= set(COMMON_NAMES)
    assert len(set(sensor.bands)) == len(sensor.bands)
    assert len(sensor.codes) in (0, len(sensor.bands))
    for code, band in zip(sensor.codes, sensor.bands, strict=False):
        assert named_in_file(code, name) == band
