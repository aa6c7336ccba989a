import pytest
from pydantic import ValidationError

from service.contract.bundle import Bundle
from service.contract.manifest import FileRef, InputSpec, Manifest, Scores
from service.contract.sensors import Dtype


def test_the_manifest_survives_json(colours: Bundle) -> None:
    assert Manifest.model_validate_json(colours.manifest.model_dump_json()) == colours.manifest


def test_nothing_can_be_changed_or_added(colours: Bundle) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        colours.manifest.version = "2"  # type: ignore[misc]
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        Manifest.model_validate({**colours.manifest.model_dump(), "threshold": 0.5})


@pytest.mark.parametrize("path", ["../graph.onnx", "/graph.onnx", "a\\b.onnx", ""])
def test_no_path_leaves_the_folder(path: str) -> None:
    with pytest.raises(ValidationError, match="leaves the bundle's folder"):
        FileRef(path=path, sha256="0" * 64, size_bytes=1)


def test_a_band_that_no_file_gives_is_named() -> None:
    with pytest.raises(ValidationError, match="files hold red, green, blue, nir; they lack ultraviolet"):
        InputSpec(bands=("red", "ultraviolet"), height=8, width=8)


def test_an_input_of_an_earlier_version_knows_its_files() -> None:
    contest = InputSpec(bands=("near infrared", "red"), dtype="uint16", height=8, width=8)
    assert (contest.bands, contest.order) == (("nir", "red"), ("blue", "green", "red", "nir"))
    assert InputSpec(bands=("red",), height=8, width=8).order == ("red", "green", "blue")
    assert InputSpec(bands=("nir",), height=8, width=8).order == ("red", "green", "blue", "nir")


def test_files_that_name_no_bands_have_the_sensors_order_or_their_own() -> None:
    facts = {"bands": ("nir08", "swir16"), "dtype": "uint16", "height": 8, "width": 8}
    sensor = InputSpec.model_validate({**facts, "sensor": "landsat-8-9"})
    assert sensor.order == ("coastal", "blue", "green", "red", "nir08", "swir16", "swir22")
    own = InputSpec.model_validate({**facts, "file_bands": ("swir16", "vv", "nir08")})
    assert own.order == ("swir16", "vv", "nir08")
    with pytest.raises(ValidationError, match="there is no sensor 'modis'; there are planet-contest"):
        InputSpec.model_validate({**facts, "sensor": "modis"})
    with pytest.raises(ValidationError, match="2 bands need as many limits; there are 1"):
        InputSpec.model_validate({**facts, "sensor": "landsat-8-9", "limits": ((0, 1),)})


@pytest.mark.parametrize(("dtype", "nodata"), [("uint16", -9999), ("uint8", 0.5), ("int16", 32768)])
def test_nodata_is_a_value_that_pixels_can_have(dtype: Dtype, nodata: float) -> None:
    with pytest.raises(ValidationError, match=f"no pixel of {dtype} can be {nodata:g}"):
        InputSpec(bands=("red",), file_bands=("red",), dtype=dtype, height=8, width=8, nodata=nodata)


@pytest.mark.parametrize(("dtype", "nodata"), [("int16", -9999), ("float32", -3.4e38), ("uint8", 255)])
def test_nodata_may_be_any_value_that_pixels_can_have(dtype: Dtype, nodata: float) -> None:
    assert InputSpec(bands=("red",), dtype=dtype, height=8, width=8, nodata=nodata).nodata == nodata


def test_precisions_are_those_of_every_member(colours: Bundle) -> None:
    first, *others = colours.manifest.members
    members = (
        first.model_copy(update={"graphs": {**first.graphs, "int8": first.graphs["float32"]}}),
        *others,
    )
    assert colours.manifest.model_copy(update={"members": members}).precisions == {"float32"}


def test_the_order_of_an_early_exit_names_every_member_once(colours: Bundle) -> None:
    facts = colours.manifest.model_dump()
    assert facts["early_exit"] is None
    early_exit = {
        "order": (2, 0, 1),
        "costs": (1, 1.5, 2),
        "chips": 9,
        "mean_members": 2.1,
        "cost_share": 0.7,
    }
    found = Manifest.model_validate({**facts, "early_exit": early_exit}).early_exit
    assert found and found.order == (2, 0, 1)
    for wrong in ({"order": (0, 1)}, {"order": (0, 1, 1)}, {"order": (1, 2, 3)}, {"costs": (1.0, 1.0)}):
        with pytest.raises(ValidationError, match="early_exit"):
            Manifest.model_validate({**facts, "early_exit": early_exit | wrong})


def test_intervals_are_optional_and_rise_within_0_to_1(colours: Bundle) -> None:
    facts = colours.manifest.scores.model_dump()
    assert facts["sample_f2_interval"] is None and facts["group_f2_intervals"] == {}
    assert facts["labels"][0]["f2_interval"] is None
    assert Scores.model_validate({**facts, "macro_f2_interval": [0.25, 0.5]}).macro_f2_interval == (0.25, 0.5)
    for wrong in ([0.5, 0.25], [-0.5, 0.5], [0.5, 1.5], [0.5], [float("nan")] * 2):
        for field in (
            {"sample_f2_interval": wrong},
            {"group_f2_intervals": {"colour": wrong}},
            {"labels": [{**facts["labels"][0], "average_precision_interval": wrong}]},
        ):
            with pytest.raises(ValidationError, match="_interval"):
                Scores.model_validate({**facts, **field})
