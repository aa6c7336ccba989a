import numpy as np
import pytest
from PIL import Image

from service.contract.chips.pictures import read_picture
from service.contract.errors import CorruptChip, TooManyPixels, WrongBands
from service.contract.manifest import InputSpec
from tests.kit.fakes import RED, encoded, picture

SPEC = InputSpec(bands=("red", "green", "blue"), height=64, width=64)
FORMATS = ("JPEG", "PNG", "WEBP", "JPEG2000")


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_gives_its_colours(kind: str) -> None:
    np.testing.assert_allclose(
        read_picture(encoded(picture(RED), kind), FORMATS, SPEC).mean((0, 1)), RED, atol=6
    )


@pytest.mark.parametrize("kind", FORMATS)
def test_grey_is_repeated_where_the_bundle_takes_it(kind: str) -> None:
    data = encoded(Image.new("L", (64, 64), 90), kind)
    if kind != "WEBP":  # has no grey of its own
        with pytest.raises(WrongBands, match="is grey"):
            read_picture(data, FORMATS, SPEC)
    grey = SPEC.model_copy(update={"grey": True})
    np.testing.assert_allclose(read_picture(data, FORMATS, grey), np.full((64, 64, 3), 90), atol=2)


def test_what_moves_is_too_large_or_broken_is_refused() -> None:
    moving = encoded(picture(RED), "WEBP", save_all=True, append_images=[picture((0, 0, 9))])
    with pytest.raises(WrongBands, match="it has 2 frames"):
        read_picture(moving, FORMATS, SPEC)
    with pytest.raises(TooManyPixels, match="4097"):
        read_picture(encoded(picture(RED, 4097), "JPEG2000"), FORMATS, SPEC)
    for kind in FORMATS:
        data = encoded(picture(RED), kind)
        with pytest.raises(CorruptChip, match="whole file"):
            read_picture(data[: len(data) // 3], FORMATS, SPEC)
    with pytest.raises(CorruptChip, match="header is broken"):
        read_picture(b"RIFF\0\0\0\0WEBP", FORMATS, SPEC)
