"""Shape suffixes: N chips, L labels."""

from pathlib import Path

import numpy as np
import pytest

from tests.kit.ground import ground, write_geotiff
from training.data.groups import find_groups, read_column
from training.data.tables.forms import read_tags

CHIPS_NHWC = np.stack([ground(seed) for seed in (0, 1, 2, 3, 0, 1)])  # the last two are copies
NO_FILES = [Path(f"{row}.jpg") for row in range(6)]


def test_copies_are_one_group_and_the_sentence_says_so() -> None:
    found = find_groups(CHIPS_NHWC, NO_FILES, 2)
    assert found.groups_N.tolist() == [0, 1, 2, 3, 0, 1]
    assert found.joined == {"same pixels": 4}
    said = found.sentence(apart=2)
    assert "4 of 6 chips belong to 2 groups of more than one (same pixels 4)" in said
    assert "2 chips would have had another of their group among" in said


def test_nothing_shared_is_said_too() -> None:
    found = find_groups(CHIPS_NHWC[:4], NO_FILES[:4], 2)
    assert found.groups_N.tolist() == [0, 1, 2, 3]
    assert found.sentence(0) == "No chip was found to belong to another: no copies, no shared place."


def test_a_column_joins_what_has_the_same_value_and_copies_stay_joined() -> None:
    values = ["a", "b", "a", "", "", "c"]
    found = find_groups(CHIPS_NHWC, NO_FILES, 2, column=("scene", values))
    assert found.groups_N.tolist() == [0, 1, 0, 2, 0, 1]
    assert found.joined == {"same pixels": 4, "the column scene": 2}


def places(folder: Path, metres: list[int]) -> list[Path]:
    return [write_geotiff(folder / f"{row}.tif", ground(row), east, 0) for row, east in enumerate(metres)]


def test_geotiffs_are_grouped_by_blocks(tmp_path: Path) -> None:
    chips_NHWC = np.stack([ground(row) for row in range(6)])
    files = places(tmp_path, [0, 100, 5_000, 5_100, 10_000, 10_100])
    far, near = find_groups(chips_NHWC, files, 2, 3.0), find_groups(chips_NHWC, files, 2, 0)
    assert far.groups_N[[0, 2, 4]].tolist() == far.groups_N[[1, 3, 5]].tolist()
    assert far.joined == {"one place on the ground": 6}
    assert len(set(near.groups_N)) == 6


def test_places_that_leave_no_folds_are_refused_when_asked_for_and_said_otherwise(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    chips_NHWC = np.stack([ground(row) for row in range(6)])
    files = places(tmp_path, [0] * 6)
    with pytest.raises(ValueError, match=r"6 chips are 1 groups, fewer than the 2 folds .* --block-km"):
        find_groups(chips_NHWC, files, 2, 1.0)
    found = find_groups(chips_NHWC, files, 2)
    assert len(set(found.groups_N)) == 6
    assert "Chips are not grouped by place" in caplog.text
    assert "Chips are not grouped by place" in found.sentence(0)
    assert len(set(find_groups(chips_NHWC, files, 2, column=("image_name", list("abcdef"))).groups_N)) == 6


def test_copies_that_leave_no_folds_are_refused() -> None:
    with pytest.raises(ValueError, match=r"6 chips are 2 groups, fewer than the 3 folds \(same pixels\)"):
        find_groups(CHIPS_NHWC[[0, 0, 0, 1, 1, 1]], NO_FILES, 3)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_column_is_read_by_name(tmp_path: Path, separator: str) -> None:
    path = tmp_path / "tags.csv"
    rows = [("image_name", "tags", "scene"), ("b.jpg", "x y", "S2"), ("a", "", "S1")]
    path.write_text("\n".join(separator.join(row) for row in rows) + "\n", encoding="utf-8-sig")
    assert read_column(path, "scene", ["a", "b.jpg"]) == ["S1", "S2"]
    with pytest.raises(ValueError, match=r"no column 'place' for --group; it has image_name, tags, scene"):
        read_column(path, "place", ["a"])
    with pytest.raises(ValueError, match=r"no row of 'c' has a value for --group scene"):
        read_column(path, "scene", ["c"])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("one_hot.csv", "image,scene,water,road\na,0,0,1\nb,1,1,0\n"),
        (
            "tags.jsonl",
            '{"image": "a", "label": "road", "scene": 0}\n{"image": "b", "label": "water", "scene": 1}\n',
        ),
        ("saved.csv", "sep=;\nimage;tags;scene\na;road;0\nb;water;1;;\n\n"),
    ],
)
def test_a_column_of_any_form_of_table_groups_and_is_no_label(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    tags = read_tags(path, group="scene")
    assert tags.rows() == [["road"], ["water"]]
    assert read_column(path, "scene", tags.names) == ["0", "1"]
