"""Shape suffixes: H height, W width, C bands."""

import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image

from service.contract.chips.bands import RGB
from service.contract.chips.tone import stretched
from service.contract.sensors import SENSORS
from training.data.pictures import CAPTION_PX, CELL_PX, THUMBNAIL_PX, as_rgb, data_uri, write_sheet

PLANET_BANDS = SENSORS["planet-contest"].bands

RANDOM = np.random.default_rng(0)


def test_eight_bits_stay_as_they_are_in_the_bands_order() -> None:
    chip_HWC = RANDOM.integers(0, 256, (8, 9, 4), dtype=np.uint8)
    np.testing.assert_array_equal(as_rgb(chip_HWC, PLANET_BANDS), chip_HWC[..., [2, 1, 0]])
    np.testing.assert_array_equal(as_rgb(chip_HWC[..., :3], RGB), chip_HWC[..., :3])


def test_sixteen_bits_are_stretched_band_by_band() -> None:
    ramp_HW = np.arange(10_000, dtype=np.uint16).reshape(100, 100)
    chip_HWC = np.stack([ramp_HW, ramp_HW + 3000, ramp_HW // 2 + 500, ramp_HW * 0], axis=-1)
    shown_HW3 = as_rgb(chip_HWC, PLANET_BANDS)
    assert shown_HW3.dtype == np.uint8
    for band in range(3):  # each the same ramp, whatever its offset and gain
        shown_N = shown_HW3[..., band].ravel()
        assert (shown_N[:200] == 0).all()
        assert (shown_N[-200:] == 255).all()
        assert shown_N[5000] in (127, 128)
        assert (np.diff(shown_N.astype(int)) >= 0).all()
    assert not as_rgb(np.full((4, 4, 4), 700, np.uint16), PLANET_BANDS).any()  # flat: no division by 0


def test_without_red_green_and_blue_the_first_band_is_grey() -> None:
    chip_HWC = RANDOM.integers(0, 256, (8, 9, 2), dtype=np.uint8)
    np.testing.assert_array_equal(
        as_rgb(chip_HWC, ("radar", "height")), np.repeat(chip_HWC[..., :1], 3, axis=-1)
    )


def test_the_address_holds_a_small_jpeg() -> None:
    colour_HWC = np.full((256, 200, 3), (200, 40, 90), np.uint8)
    head, _, body = data_uri(colour_HWC, RGB).partition(",")
    assert head == "data:image/jpeg;base64"
    image = Image.open(io.BytesIO(base64.b64decode(body)))
    assert (image.format, image.size) == ("JPEG", (112, THUMBNAIL_PX))
    np.testing.assert_allclose(np.asarray(image)[5, 5], (200, 40, 90), atol=4)


def test_pictures_lie_in_rows_under_their_captions(tmp_path: Path) -> None:
    grey, red = np.full((8, 8), 77, np.uint8), np.full((9, 9, 3), (200, 0, 0), np.uint8)
    write_sheet(
        tmp_path / "sheet.png", ("one", "two"), [("first", [grey, red]), ("second", iter([red, grey]))]
    )
    with Image.open(tmp_path / "sheet.png") as sheet:
        pixels_HWC = np.asarray(sheet)
    assert pixels_HWC.shape == (CAPTION_PX + 2 * (CAPTION_PX + CELL_PX), 2 * CELL_PX, 3)
    for row, colours in enumerate([((77,) * 3, (200, 0, 0)), ((200, 0, 0), (77,) * 3)]):
        top_px = CAPTION_PX + row * (CELL_PX + CAPTION_PX) + CAPTION_PX
        for column, colour in enumerate(colours):
            cell_HWC = pixels_HWC[top_px : top_px + CELL_PX, column * CELL_PX : (column + 1) * CELL_PX]
            assert (cell_HWC == colour).all()
        caption_HWC = pixels_HWC[top_px - CAPTION_PX : top_px]
        assert caption_HWC.min() < 100 < 255 == caption_HWC.max()


def test_a_dark_raw_picture_is_stretched_band_by_band() -> None:
    rise_HW = np.linspace(4000, 4100, 64 * 64).reshape(64, 64)
    picture = stretched(
        np.stack([rise_HW, 10 * rise_HW, np.full_like(rise_HW, 5)], axis=-1).astype(np.uint16)
    )
    assert picture.dtype == np.uint8
    for band in (0, 1):
        assert (picture[..., band].min(), picture[..., band].max()) == (0, 255)
        assert 120 < picture[..., band].mean() < 135
    assert (picture[..., 2] == 0).all()
