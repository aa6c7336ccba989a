from pathlib import Path

import pytest

from training.data.tables.forms import read_tags


def write(folder: Path, text: str) -> Path:
    path = folder / "tags.csv"
    path.write_text(text, encoding="utf-8")
    return path


def rows(folder: Path, cell: str, separator: str | None = None) -> list[list[str]]:
    """Read a cell below a row that is in order."""
    text = cell.replace('"', '""')
    return read_tags(write(folder, f'image_name,tags\na,water\nb,"{text}"\n'), separator).rows()[1:]


@pytest.mark.parametrize(
    ("cell", "separator", "labels"),
    [
        (" road  water ", None, ["road", "water"]),
        ("bare-soil slash_burn a.b", None, ["a.b", "bare-soil", "slash_burn"]),
        ("road;water", ";", ["road", "water"]),
        ("water; road ;", ";", ["road", "water"]),
        ("bare soil | road", "|", ["bare-soil", "road"]),
        ("bare soil,road", ",", ["bare-soil", "road"]),
        ('"clear sky" water', " ", ["clear-sky", "water"]),
        ("woodland/shrub road", " ", ["road", "woodland-shrub"]),
        ('"Beaches, dunes, sands";road', ";", ["Beaches-dunes-sands", "road"]),
        ("Beaches, dunes;road", ";", ["Beaches-dunes", "road"]),
        ("", None, []),
        ("", ";", []),
    ],
)
def test_a_cell_holds_labels(tmp_path: Path, cell: str, separator: str | None, labels: list[str]) -> None:
    assert rows(tmp_path, cell, separator) == [labels]


@pytest.mark.parametrize(
    ("cell", "separator", "message"),
    [
        ("road;water", None, "not by ';' as in 'road;water'; or declare it with --separator ';'"),
        ("road; water", None, "not by ';'"),
        ("road|water", None, "--separator '|'"),
        ("road,water", None, "--separator ','"),
        ("wood/shrub", None, "or --separator ' ' if '/' is a part of labels"),
        ("road;water|sea", None, "has ';' and '|'; use one separator everywhere"),
        ("road;water|sea", ";", "has '|', but --separator is ';'"),
        ("['road', 'water']", None, "has brackets, as printed lists have; write road;water"),
        ('["road"]', ";", "has brackets"),
        ("{'road': 1}", None, "has brackets"),
        ("(road) water", None, "has brackets; remove them"),
        ('"clear sky" water', None, "use double quotes and declare --separator ' '"),
        ("'road' water", None, "has quotes"),
        ("'clear sky';water", ";", "has quotes; use double quotes around a whole label, or none"),
        ("nan", None, "'nan' is how programs write an empty cell; leave the cell empty"),
        ("None", ";", "'None' is how programs write an empty cell"),
        ("water nan", None, "the label 'nan' means nothing to programs; remove or rename it"),
        ("Water", None, "'water' (1 rows) and 'Water' (1 rows) are written nearly alike"),
        ("road", "ab", "--separator 'ab': must be one character"),
        ("road", "x", "--separator 'x': must be one character"),
    ],
)
def test_a_cell_that_may_mean_something_else_is_refused(
    tmp_path: Path, cell: str, separator: str | None, message: str
) -> None:
    with pytest.raises(ValueError) as error:
        rows(tmp_path, cell, separator)
    assert message in str(error.value)
    assert "--separator '" in str(error.value) or f"{tmp_path / 'tags.csv'}, line " in str(error.value)


def test_a_label_of_two_words_and_a_separator_that_separates_nothing_are_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert rows(tmp_path, "clear sky") == [["clear", "sky"]]
    assert "clear and sky always come together" in caplog.text
    caplog.clear()
    assert rows(tmp_path, "clear sky", ";") == [["clear-sky"]]
    assert "no row has two labels, as if ';' separated nothing" in caplog.text
    assert "come together" not in caplog.text


def test_class_numbers_are_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    read_tags(write(tmp_path, "image,label\na,3\nb,4\nc,3\nd,4\n"))
    assert "all labels are numbers: 3, 4" in caplog.text


@pytest.mark.parametrize(
    "tags", ['[["road", "water"]]', '[{"name": "road"}]', "[true]", "true", "[" * 100_000]
)
def test_what_is_no_list_of_names_makes_no_labels(tmp_path: Path, tags: str) -> None:
    path = tmp_path / "tags.json"
    path.write_text(f'[{{"image_name": "a", "tags": ["road"]}}, {{"image_name": "b", "tags": {tags}}}]')
    with pytest.raises(ValueError, match=r"is no label|nested far too deep|is not JSON"):
        read_tags(path)
