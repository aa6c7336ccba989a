import pytest

from service.contract.chips.bands import MAX_SIDE_PX, MIN_SIDE_PX, accepted, check_grey, check_size
from service.contract.errors import TooManyPixels, WrongBands, WrongSize
from service.contract.manifest import InputSpec


def test_sizes_between_the_limits_are_accepted() -> None:
    for width, height in ((MIN_SIDE_PX, MAX_SIDE_PX), (MAX_SIDE_PX, MIN_SIDE_PX)):
        check_size(width, height)


@pytest.mark.parametrize(
    ("width", "height", "error"),
    [
        (MAX_SIDE_PX + 1, 64, TooManyPixels),
        (0, MAX_SIDE_PX + 1, TooManyPixels),
        (64, MIN_SIDE_PX - 1, WrongSize),
        (0, 0, WrongSize),
    ],
)
def test_other_sizes_are_refused_by_name(width: int, height: int, error: type[Exception]) -> None:
    with pytest.raises(error, match=f"the image is {width}×{height} px; at (most|least)"):
        check_size(width, height)


def test_each_bundle_says_which_files_it_takes() -> None:
    spec = InputSpec(bands=("red",), height=8, width=8)
    assert "JPEG, PNG, WebP and JPEG 2000 (RGB) and TIFF" in accepted(spec)
    raw = "this bundle needs TIFF chips of 4 bands of uint16 (blue, green, red, nir)"
    assert accepted(spec.model_copy(update={"dtype": "uint16"})) == raw
    assert "4 bands of uint8 (red, green, blue, nir)" in accepted(spec.model_copy(update={"bands": ("nir",)}))
    superdove = InputSpec(bands=("nir",), dtype="uint16", height=8, width=8, sensor="superdove-8")
    assert "8 bands of uint16 (coastal, blue" in accepted(superdove)
    assert "superdove-8: reflectance × 10,000" in accepted(superdove)


def test_grey_is_refused_unless_the_bundle_takes_it() -> None:
    spec = InputSpec(bands=("red", "green", "blue"), height=8, width=8)
    with pytest.raises(WrongBands, match="the PNG is grey, and this bundle was trained on colours"):
        check_grey("PNG", spec)
    check_grey("PNG", spec.model_copy(update={"grey": True}))
