from pathlib import Path

import numpy as np
from PIL import Image

from training.contact_sheet import CAPTION_PX, CELL_PX, stretched, write_sheet


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
