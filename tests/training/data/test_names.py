import logging
from pathlib import Path

import numpy as np
import pytest
import tifffile

from service.contract.chips.band_files import BandFiles, path_of
from service.contract.manifest import InputSpec
from tests.kit import stripes
from tests.kit.band_files import BANDS, SPEC, write_bands
from training.data.names import find_chips
from training.run.folder import Source


def paint(root: Path, *names: str) -> None:
    for seed, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        stripes.draw(["red"], seed).save(root / name)


def found(data: Path, *names: str, chips: Path | None = None) -> list[str | None]:
    """Return each name's file below the data's folder."""
    paths, bad = find_chips(Source(data=data, chips=chips), names)
    assert set(bad) == set(names) - set(paths)
    files = {name: path_of(path) for name, path in paths.items()}
    return [files[name].relative_to(data).as_posix() if name in files else None for name in names]


@pytest.mark.parametrize(
    ("name", "differs"),
    [
        ("tile_1", None),
        ("tile_1.png", None),
        ("chips/tile_1.png", None),
        ("./tile_1.png", None),
        ("data/chips/tile_1", None),
        ("\\\\server\\data\\tile_1.png", None),
        ("tile_1.tif", "extension"),
        ("tile_1.PNG", "extension"),
        ("TILE_1", "upper and lower case"),
        ("Chips/Tile_1.JPG", "upper and lower case"),
    ],
)
def test_a_name_finds_its_chip(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, differs: str | None
) -> None:
    paint(tmp_path / "data" / "chips", "tile_1.png", "tile_11.png")
    assert found(tmp_path / "data", name) == ["chips/tile_1.png"]
    assert ("differ from their files in" in caplog.text) == (differs is not None)
    if differs:
        assert (
            f"1 names differ from their files in {differs}, such as {name!r} for 'tile_1.png'" in caplog.text
        )


def test_zeros_that_a_spreadsheet_dropped_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    paint(tmp_path / "chips", "0000.png", "0012.png", "0120.png")
    assert found(tmp_path, "0", "12", "120.0") == ["chips/0000.png", "chips/0012.png", "chips/0120.png"]
    assert "3 names differ from their files in leading zeros, such as '0' for '0000.png'" in caplog.text


def test_a_chip_that_a_row_names_exactly_is_no_other_rows(tmp_path: Path) -> None:
    paint(tmp_path / "chips", "12.png", "a.png")
    assert found(tmp_path, "12", "0012", "a.png", "A.tif") == ["chips/12.png", None, "chips/a.png", None]


def test_chips_may_lie_in_subfolders(tmp_path: Path) -> None:
    paint(tmp_path, "forest/tile_0.png", "water/deep/tile_1.png", "water/tile_0.png", ".trash/tile_1.png")
    assert found(tmp_path, "forest/tile_0", "tile_1", "water/tile_0.png") == [
        "forest/tile_0.png",
        "water/deep/tile_1.png",
        "water/tile_0.png",
    ]
    with pytest.raises(ValueError, match=r"tile_0 may be forest/tile_0.png or water/tile_0.png; remove one"):
        found(tmp_path, "tile_0")


def test_a_name_whose_folder_is_another_is_not_the_chip(tmp_path: Path) -> None:
    paint(tmp_path / "chips", "river/tile_0.png", "tile_1.png")
    assert found(tmp_path, "forest/tile_0", "forest/tile_1") == [None, "chips/tile_1.png"]


def test_a_chip_at_the_top_comes_before_one_below(tmp_path: Path) -> None:
    paint(tmp_path / "chips", "tile_0.png", "masks/tile_0.png")
    assert found(tmp_path, "tile_0") == ["chips/tile_0.png"]


def test_a_name_and_the_file_most_like_it_stand_side_by_side(tmp_path: Path) -> None:
    paint(tmp_path / "chips", "tile_007.png", "other.png")
    with pytest.raises(
        ValueError, match=r"the table has 'tile\\u200b_7', the file most like it is 'tile_007.png'"
    ):
        found(tmp_path, "tile\u200b_7")
    _, bad = find_chips(Source(data=tmp_path), ["other", "tile_7"])
    assert "the table has 'tile_7', the file most like it is 'tile_007.png'" in bad["tile_7"]
    with pytest.raises(ValueError, match=r"which hold no images; .* name the chips' folder with --chips"):
        found(tmp_path, "tile_7", chips=tmp_path / "empty")


def test_images_without_a_row_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "training")
    paint(tmp_path / "chips", "a.png", "b.png", "c.png")
    found(tmp_path, "a")
    assert "2 images have no row, such as b.png" in caplog.text


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("chips/p_{seed}/{code}.tif", "p_{seed}"),
        ("chips/p_{seed}/S2A_{code}.tif", "p_{seed}"),
        ("p_{seed}_{code}.tif", "p_{seed}"),
        ("images/north/p_{seed}_{band}.tif", "north/p_{seed}"),
        ("images/S2A_{seed}.SAFE/T32_{code}_{metres}m.tif", "S2A_{seed}.SAFE"),
    ],
)
def test_a_name_finds_the_files_of_its_bands(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, pattern: str, name: str
) -> None:
    caplog.set_level(logging.INFO, "training")
    for seed in (1, 2):
        write_bands(tmp_path, pattern.replace("{seed}", str(seed)), seed)
        thumbnail = pattern.format(seed=seed, code="thumbnail", band="thumbnail", metres=10)
        stripes.draw(["red"], 0).save((tmp_path / thumbnail).with_suffix(".jpg"))
    wanted = [name.format(seed=seed) for seed in (2, 1)]
    paths, bad = find_chips(Source(data=tmp_path), [*wanted, "p_3"], SPEC)
    assert (list(paths), list(bad)) == (wanted, ["p_3"])
    for chip in paths.values():
        assert isinstance(chip, BandFiles)
        assert tuple(chip.files) == BANDS
    assert "2 chips of 12 files each (coastal, blue, green, " in caplog.text
    assert "2 files beside them are none of these bands and are left out: " in caplog.text
    assert "have no row" not in caplog.text


def test_a_file_that_the_table_names_is_a_chip_whatever_its_name(tmp_path: Path) -> None:
    for name in ("tile_b1.tif", "tile_b2.tif", "red.tif"):
        tifffile.imwrite(tmp_path / name, np.ones((40, 40), np.uint16))
    paths, _ = find_chips(Source(data=tmp_path), ["tile_b1", "red"], SPEC)
    assert paths == {"tile_b1": tmp_path / "tile_b1.tif", "red": tmp_path / "red.tif"}


def test_a_run_of_colours_says_how_chips_of_bands_are_read(tmp_path: Path) -> None:
    write_bands(tmp_path / "chips", "p_1/{code}.tif")
    rgb = InputSpec(bands=("red", "green", "blue"), height=8, width=8)
    with pytest.raises(
        ValueError, match="if each chip is a file for each band, name whose they are with --s"
    ):
        find_chips(Source(data=tmp_path), ["p_1"], rgb)
