"""A folder for each class, and folders that are none."""

import json
from pathlib import Path

import pytest

from tests.kit import stripes
from tests.kit.band_files import SPEC, write_bands
from tests.training.data.tables.test_forms import found
from training.data.names import find_chips
from training.run.folder import Source


def folders(root: Path, *names: str, seed: int = 0) -> None:
    for index, name in enumerate(names, seed):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        stripes.draw(["red"], index).save(path)


@pytest.mark.parametrize("below", [".", "images"])
def test_a_folder_for_each_class(tmp_path: Path, below: str) -> None:
    folders(tmp_path / below, "Forest/f_1.png", "Forest/deep/f_2.png", "Sea Lake/s_1.png")
    (tmp_path / "label_map.json").write_text('{"Forest": 0, "Sea Lake": 1}')
    tags = found(tmp_path)
    assert dict(zip(tags.names, tags.rows(), strict=True)) == {
        "f_1": ["Forest"],
        "f_2": ["Forest"],
        "s_1": ["Sea-Lake"],
    }


def test_chips_that_are_numbered_by_class_keep_their_folder_in_their_name(tmp_path: Path) -> None:
    folders(tmp_path, "Forest/1.png", "River/1.png")
    assert found(tmp_path).names == ["Forest/1", "River/1"]


def test_one_chip_in_two_class_folders_is_not_given_one_label(tmp_path: Path) -> None:
    folders(tmp_path, "Forest/1.png", "Forest/2.png")
    folders(tmp_path, "River/1.png")
    with pytest.raises(ValueError, match=r"Forest/1.png and .*River/1.png are one chip .* --separator ';'"):
        found(tmp_path)


def test_classes_of_chips_of_one_file_per_band(tmp_path: Path) -> None:
    for folder in ("Forest", "River"):
        for seed in (1, 2):
            write_bands(tmp_path / "deep" / folder / f"{folder[0]}{seed}", "{code}.tif", seed)
            write_bands(tmp_path / "flat" / folder, f"{folder[0]}{seed}_{{band}}.tif", seed)
    for below in ("deep", "flat"):
        tags = found(tmp_path / below)
        assert tags.names == ["F1", "F2", "R1", "R2"]
        assert tags.rows() == [["Forest"], ["Forest"], ["River"], ["River"]]
        paths, bad = find_chips(Source(data=tmp_path / below), tags.names, SPEC)
        assert (len(paths), bad) == (4, {})


@pytest.mark.parametrize("name", ["{chip}_labels_metadata", "{chip}", "labels", "labels_metadata"])
def test_labels_beside_the_bands_of_a_chip(tmp_path: Path, name: str) -> None:
    for chip in ("S2A_1", "S2A_2"):
        write_bands(tmp_path / "patches" / chip, f"{chip}_{{code}}.tif")
        path = tmp_path / "patches" / chip / f"{name.format(chip=chip)}.json"
        path.write_text(json.dumps({"labels": ["Pastures", "Beaches, dunes, sands"]}))
    tags = found(tmp_path)
    assert (tags.names, tags.labels) == (["S2A_1", "S2A_2"], ["Beaches-dunes-sands", "Pastures"])
    assert len(find_chips(Source(data=tmp_path), tags.names, SPEC)[0]) == 2


@pytest.mark.parametrize(
    "names", [("train/1.png", "test/2.png"), ("a/a_B01.png", "a/a_B02.png", "b/b_B01.png"), ("chips/1.png",)]
)
def test_folders_that_are_no_classes_are_not_taken_for_such(tmp_path: Path, names: tuple[str, ...]) -> None:
    folders(tmp_path, *names)
    with pytest.raises(ValueError, match="found no table of tags; name the table with --tags"):
        found(tmp_path)
