from pathlib import Path

import pytest

from training.data.tables.forms import read_tags


def write(folder: Path, text: str) -> Path:
    path = folder / "tags.csv"
    path.write_bytes(text.encode())
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
    "text",
    [
        "image_name,tags\r\na,b c\r\nd,c\r\n",
        "image_name,tags\ra,b c\rd,c\r",
        "image_name,tags\na,b c,,\nd,c,,\n",
        "image_name,tags,,\na,b c,,\nd,c,,\n",
        "image_name,tags\na,b c\n\n,\nd,c\n,\n , \n",
        "image_name , tags\n a ,b c \nd  , c\n",
        "image_name;tags\na;b c\nd;c\n",
        "sep=;\nimage_name;tags\na;b c\nd;c\n",
        "image_name\ttags\na\tb c\nd\tc",
    ],
)
def test_what_spreadsheets_add_is_nothing(tmp_path: Path, text: str) -> None:
    tags = read_tags(write(tmp_path, text))
    assert (tags.names, tags.rows()) == (["a", "d"], [["b", "c"], ["c"]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "its first line is 'nothing'; it must have image_name,tags"),
        ("image_name,tags\na,b\n,c\n", "line 3: need both image_name and tags"),
        ("image_name,tags\na,b\nc\n", "line 3: need both image_name and tags"),
        ("image_name,tags\n\n\na,b\n,c\n", "line 5: need both"),
        ("sep=,\nimage_name,tags\na,b\n,c\n", "line 4: need both"),
        ("image_name,tags\na,b\nc,b\na,c\n", "line 4: 'a' is there twice; keep one row, .*line 2"),
        (
            "image_name,tags\na,b,c\n",
            "line 2: has 3 cells under 2 columns; separate tags by spaces, not by ','",
        ),
        ('image_name,tags\na,b\nc,"b,d"\n', "line 3: separate tags by spaces, not by ','"),
        ("image_name,tags\n", "no row has a tag"),
        ("image_name,tags\na,\nb, \n", "no row has a tag"),
    ],
)
def test_a_broken_table_is_refused_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        read_tags(write(tmp_path, text))
    assert str(tmp_path / "tags.csv") in str(error.value)


def test_a_file_of_another_encoding_is_named(tmp_path: Path) -> None:
    path = tmp_path / "tags.csv"
    path.write_bytes("image_name,tags\na,forêt\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"tags.csv: is not UTF-8 text .*; save it as CSV in UTF-8"):
        read_tags(path)


def test_an_apostrophe_before_a_formula_is_none_of_the_name(tmp_path: Path) -> None:
    tags = read_tags(write(tmp_path, "image_name,tags\n'=1+1.png,'-b a\n\"'@x, y.png\",c\n'd.png,c\n"))
    assert tags.names == ["=1+1.png", "@x, y.png", "'d.png"]
    assert tags.rows() == [["-b", "a"], ["c"], ["c"]]
