from pathlib import Path

import numpy as np
import pytest

from training.config.planet import PLANET_GROUPS
from training.data.labels import Tags, group_of_each, multi_hot, read_tags


def write(folder: Path, text: str) -> Path:
    path = folder / "tags.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_tags_become_columns_in_alphabetical_order(tmp_path: Path) -> None:
    tags = read_tags(write(tmp_path, "image_name,tags\na,water clear\nb,\nc,clear\n"))
    assert (tags.names, tags.labels) == (["a", "b", "c"], ["clear", "water"])
    assert tags.targets_NL.tolist() == [[True, True], [False, False], [True, False]]
    assert tags.rows() == [["clear", "water"], [], ["clear"]]


def test_a_byte_order_mark_other_columns_and_quotes_are_fine(tmp_path: Path) -> None:
    tags = read_tags(write(tmp_path, '\ufeffid,tags,image_name\n7,"b  a a","x 1"\n'))
    assert (tags.names, tags.rows()) == (["x 1"], [["a", "b"]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "its first line is 'nothing'; it must have image_name,tags"),
        ("name,tags\na,b\n", "its first line is 'name,tags'; it must have image_name,tags"),
        ("image_name,tags\na,b\n,c\n", "line 3: need both image_name and tags"),
        ("image_name,tags\na,b\nc\n", "line 3: need both image_name and tags"),
        ("image_name,tags\na,b\nc,b\na,c\n", "line 4: 'a' is there twice; keep one row"),
        ("image_name,tags\na,b,c\n", "line 2: separate tags by spaces, not by commas"),
        ('image_name,tags\na,b\nc,"b,d"\n', "line 3: separate tags by spaces, not by commas"),
        ("image_name,tags\n", "no row has a tag"),
        ("image_name,tags\na,\nb, \n", "no row has a tag"),
    ],
)
def test_a_broken_tags_file_is_refused_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        read_tags(write(tmp_path, text))
    assert str(tmp_path / "tags.csv") in str(error.value)


def test_a_file_of_another_encoding_is_named(tmp_path: Path) -> None:
    path = tmp_path / "tags.csv"
    path.write_bytes("image_name,tags\na,forêt\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"tags.csv: is not UTF-8 text .*; save it as CSV in UTF-8"):
        read_tags(path)


def test_rows_and_multi_hot_are_inverse() -> None:
    targets_NL = np.random.default_rng(0).random((20, 5)) < 0.4
    labels = list("abcde")
    rows = Tags([str(n) for n in range(20)], labels, targets_NL).rows()
    np.testing.assert_array_equal(multi_hot(rows, labels), targets_NL)


def test_planet_labels_have_their_own_groups_and_others_go_by_prevalence() -> None:
    labels = ["clear", "water", "blow_down"]
    assert group_of_each(labels, np.array([0.001, 0.001, 0.9])) == ["atmospheric", "common", "rare"]
    labels[1] = "canal"
    assert group_of_each(labels, np.array([0.5, 0.02, 0.0199])) == ["common", "common", "rare"]


def test_the_tags_of_planet(shared_data: Path) -> None:
    tags = read_tags(shared_data / "planet" / "train_v2.csv")
    assert tags.targets_NL.shape == (40_479, 17)
    assert sorted(tags.labels) == sorted(label for group in PLANET_GROUPS.values() for label in group)
    atmospheric = [tags.labels.index(label) for label in PLANET_GROUPS["atmospheric"]]
    counts_N = tags.targets_NL[:, atmospheric].sum(axis=1)
    assert sorted(set(counts_N.tolist())) == [0, 1]
    assert (counts_N == 0).sum() == 1
    cloudy_N = tags.targets_NL[:, tags.labels.index("cloudy")]
    assert (tags.targets_NL[cloudy_N].sum(axis=1) == 1).all()
    # on these labels, prevalence alone makes the same groups
    prevalence_L = tags.targets_NL.mean(axis=0)
    by_share = group_of_each([f"x{label}" for label in tags.labels], prevalence_L)
    assert [group == "rare" for group in by_share] == [
        label in PLANET_GROUPS["rare"] for label in tags.labels
    ]
