import pytest

from service.contract.chips.bands import MAX_SIDE_PX, MIN_SIDE_PX, accepted, check_size
from service.contract.errors import TooManyPixels, WrongSize
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
    assert "JPEG and PNG" in accepted(spec)
    assert "four-band uint16 TIFF" in accepted(spec.model_copy(update={"dtype": "uint16"}))
    assert "four-band uint8 TIFF" in accepted(spec.model_copy(update={"bands": ("near infrared",)}))
