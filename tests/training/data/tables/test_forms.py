"""Every form of table, found by itself, with its chips. Shape suffixes: N chips, L labels."""

import json
import logging
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from service.contract.chips.band_files import path_of
from tests.kit import stripes
from training.data.labels import Tags
from training.data.names import find_chips
from training.data.tables.forms import find_tags, read_tags, watched
from training.run.folder import Source

ROWS = {"chip_0": ["bare soil", "road"], "chip_1": [], "chip_2": ["water"], "chip_3": ["road", "water"]}
WORDS = [["bare-soil", "road"], [], ["water"], ["road", "water"]]
LABELS = ("bare soil", "road", "water")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Chips without a table."""
    data = stripes.write_data(tmp_path / "data", len(ROWS))
    (data / "labels.csv").unlink()
    return data


def found(data: Path, separator: str | None = None) -> Tags:
    """Read what is found by itself, and see that every name has its chip."""
    source = Source(data=data, separator=separator)
    tags = read_tags(find_tags(source), separator)
    paths, bad = find_chips(source, tags.names)
    assert not bad
    assert [path_of(path).stem for path in paths.values()] == [Path(name).stem for name in tags.names]
    return tags


def one_hot(delimiter: str, head: str, end: str = "\n") -> str:
    rows = [(name, *("01"[label in row] for label in LABELS)) for name, row in ROWS.items()]
    return "".join(delimiter.join(row) + end for row in [(head, *LABELS), *rows])


def joined(separator: str, delimiter: str = ",", head: str = "image_name,tags") -> str:
    return "\n".join([head, *(f"{name}{delimiter}{separator.join(row)}" for name, row in ROWS.items())])


TEXTS = {
    "one-hot": ("a.csv", one_hot(",", "image"), None),
    "one-hot, odd header, CRLF, BOM": ("a.csv", "\ufeff" + one_hot(",", r"IMAGE\LABEL", "\r\n"), None),
    "one-hot by tabs": ("a.tsv", one_hot("\t", "image"), None),
    "one-hot by tabs in a .csv": ("a.csv", one_hot("\t", "anything"), None),
    "one-hot by semicolons": ("a.csv", "sep=;\n" + one_hot(";", "file"), None),
    "one-hot of 1 and nothing": (
        "a.csv",
        one_hot(",", "image").replace(",0", ","),
        None,
    ),
    "semicolons": ("a.csv", joined(";"), ";"),
    "semicolons and blanks": ("a.csv", joined("; "), ";"),
    "bars": ("a.csv", joined("|", head="filename,labels"), "|"),
    "commas behind a tab": ("a.tsv", joined(",", "\t", "image_name\ttags"), ","),
    "commas as cells": ("a.csv", joined(","), ","),
    "quoted": ("a.csv", joined(" ").replace("bare soil road", '"""bare soil"" road"'), " "),
    "an index as pandas writes it": (
        "a.csv",
        "\n".join(
            [",Filename,Label", *(f"{i},{n},{';'.join(row)}" for i, (n, row) in enumerate(ROWS.items()))]
        ),
        ";",
    ),
    "a number and a name of each class": (
        "a.csv",
        "\n".join(["name,Label,ClassName", *(f"{n},{len(row)},{';'.join(row)}" for n, row in ROWS.items())]),
        ";",
    ),
    "JSON": ("a.json", json.dumps(ROWS), None),
    "JSON of text": ("a.json", json.dumps({name: ";".join(row) for name, row in ROWS.items()}), ";"),
    "JSON of objects": ("a.json", json.dumps({name: {"labels": row} for name, row in ROWS.items()}), None),
    "JSON, one-hot": (
        "a.json",
        json.dumps({name: {label: int(label in row) for label in LABELS} for name, row in ROWS.items()}),
        None,
    ),
    "JSON list, indented": (
        "a.json",
        json.dumps(
            [{"file_name": f"{name}.png", "labels": row, "area": 3} for name, row in ROWS.items()], indent=1
        ),
        None,
    ),
    "the service's own answer": (
        "a.json",
        json.dumps({"model": {}, "predictions": [{"filename": n, "labels": row} for n, row in ROWS.items()]}),
        None,
    ),
    "JSON Lines": (
        "a.jsonl",
        "\n".join(json.dumps({"image": name, "tags": row}) for name, row in ROWS.items()),
        None,
    ),
}


@pytest.mark.parametrize("form", TEXTS)
def test_files_of_every_form_say_the_same(data: Path, form: str) -> None:
    name, text, separator = TEXTS[form]
    (data / name).write_bytes(text.encode())
    tags = found(data, separator)
    assert [Path(name).stem for name in tags.names] == list(ROWS)
    assert tags.rows() == WORDS
    assert tags.labels == ["bare-soil", "road", "water"]


def test_spreadsheets_own_encoding_is_read(data: Path) -> None:
    (data / "a.csv").write_bytes(one_hot("\t", "image").encode("utf-16"))
    assert found(data).rows() == WORDS


def test_parquet_with_a_list_and_with_a_column_for_each_label(data: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    columns: list[Mapping[str, object]] = [
        {"patch_id": list(ROWS), "labels": list(ROWS.values()), "split": ["train"] * 4},
        {"image": list(ROWS), **{label: [label in row for row in ROWS.values()] for label in LABELS}},
    ]
    for content in columns:
        parquet.write_table(pyarrow.table(content), data / "a.parquet")
        assert found(data).rows() == WORDS


def test_parquet_without_its_library_names_the_extra(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    (data / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(ValueError, match=r"pip install 'chipvote\[parquet\]', or save it as CSV"):
        found(data)


@pytest.mark.parametrize("suffix", ["", ".png", "_labels_metadata", "_labels"])
def test_json_beside_each_chip(data: Path, suffix: str) -> None:
    for name, row in ROWS.items():
        (data / "chips" / f"{name}{suffix}.json").write_text(json.dumps({"labels": row, "projection": "…"}))
    assert found(data).rows() == WORDS
    assert len(watched(find_tags(Source(data=data)))) == len(ROWS)


def test_a_folder_of_tables_is_read_as_one(data: Path, tmp_path: Path) -> None:
    head, *rows = one_hot(",", "image").splitlines()
    (tmp_path / "tables").mkdir()
    for index, row in enumerate(rows):
        (tmp_path / "tables" / f"{index}.csv").write_text(f"{head}\n{row}\n")
    assert read_tags(tmp_path / "tables").rows() == WORDS
    (tmp_path / "tables" / "9.csv").write_text("image,other\na,1\n")
    with pytest.raises(ValueError, match=r"0.csv and 9.csv have different columns"):
        read_tags(tmp_path / "tables")


def test_lists_of_the_run_are_no_tables_of_tags(data: Path) -> None:
    (data / "mine.csv").write_text(joined(";"))
    (data / "exclude.csv").write_text("image_name,reason\n")
    assert find_tags(Source(data=data, exclude=data / "exclude.csv")) == data / "mine.csv"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.xlsx", b"PK\x03\x04 ...", "is a spreadsheet or another zip file; save the sheet as CSV in UTF-8"),
        ("a.xml", b"<annotation></annotation>", "is XML, such as Pascal VOC's boxes"),
        ("a.h5", b"\x89HDF\r\n\x1a\n", "is HDF5"),
        ("a.json", b'{"images": [], "annotations": []}', "is COCO, which labels boxes or shapes"),
        ("a.json", b'{"type": "FeatureCollection", "features": []}', "is GeoJSON"),
        ("a.json", b'{"labels": ["a"]}', "holds the labels of one chip; name the folder of all such files"),
        ("a.json", b'{"a": ["x"], "b": ["y"], "a": ["z"]}', "'a' is there twice; keep one of them"),
        ("a.json", b'["a", "b"]', "holds neither chips nor their labels; it must be"),
        ("a.json", b'{"a": ["x"]\n "b"}', "line 2: is not JSON"),
        ("a.jsonl", b'{"image": "a", "tags": null}\n{"image": "b", "tags": []}', "line 1: is null; write"),
        ("a.csv", b"S2A_1\nS2A_2\n", "its first line is 'S2A_1'; it must have image_name,tags, or a name"),
        ("a.csv", b"a.png,road\nb.png,water\n", "It names a chip: write image_name,tags as a line above it"),
        (
            "a.csv",
            b"image_path,xmin,ymin,label\na,1,2,Tree\n",
            "'xmin' is of boxes or shapes inside pictures",
        ),
        (
            "a.csv",
            b"image,water,area\na,1,0\nb,0,17.5\n",
            "line 3: 'area' is '17.5'. No column is called tags",
        ),
        ("a.csv", b"image,water,road\na,1,\nb,0,1\n", "line 2: has no value under 'road'; write 0 or 1"),
        ("a.csv", b"image,water,road\na,1,0,1\n", "line 2: has 4 cells under 3 columns"),
        ("a.csv", b"image,water,water\na,1,0\n", "its first line names 'water' twice"),
        ("a.csv", b'image_name,tags\na,"road\nb,water\n', "a quote .* is opened and not closed"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_fix(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        read_tags(tmp_path / name)
    assert name in str(error.value)


def test_what_was_read_is_told(data: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "training")
    (data / "a.csv").write_text(
        one_hot(",", "image")
        .replace("water", "water,never", 1)
        .replace("1\n", "1,0\n")
        .replace("0\n", "0,0\n", 2)
    )
    read_tags(data / "a.csv")
    for part in (
        f"{data / 'a.csv'}: a table separated by commas, a column for each of 4 labels",
        "4 chips, 3 labels: road 2, water 2, bare-soil 1",
        "1 chips without labels",
        "labels are written as one word: 'bare soil' → bare-soil",
        "left out as no chip has them: never",
        "labels that occur once; are they misspelt? 'bare soil'",
    ):
        assert part in caplog.text


def test_fifty_thousand_rows_take_seconds(tmp_path: Path) -> None:
    targets_NL = np.random.default_rng(0).random((50_000, 17)) < 0.2
    lines = [
        f"tile_{row:05}," + " ".join(f"label_{k}" for k in np.flatnonzero(target_L))
        for row, target_L in enumerate(targets_NL)
    ]
    (tmp_path / "a.csv").write_text("image_name,tags\n" + "\n".join(lines))
    started_s = time.perf_counter()
    tags = read_tags(tmp_path / "a.csv")
    assert time.perf_counter() - started_s < 60
    order = [tags.labels.index(f"label_{k}") for k in range(17)]
    np.testing.assert_array_equal(tags.targets_NL[:, order], targets_NL)


def test_tables_as_people_keep_them(shared_data: Path) -> None:
    tables = shared_data / "tables"
    beach = read_tags(tables / "mlrsnet" / "beach.csv")
    assert beach.targets_NL.shape == (2500, 7)
    assert len(read_tags(tables / "mlrsnet").names) == 1762 + 2500
    assert read_tags(shared_data / "eurosat13").targets_NL.sum(axis=0).tolist() == [12] * 10
    assert "Broad-leaved-forest" in read_tags(shared_data / "bigearthnet_s2").labels
    others = [file for file in tables.rglob("*") if file.is_file() and file.parent.name != "mlrsnet"]
    for file in others:
        with pytest.raises(ValueError, match=file.name):
            read_tags(file)


def test_a_column_of_groups_is_no_name_and_no_label(tmp_path: Path) -> None:
    table = tmp_path / "tags.csv"
    table.write_text("tile,image_name,tags\nt1,a,road\nt1,b,water\n")
    assert read_tags(table, group="tile").names == ["a", "b"]
    table.write_text("image_name,class,tags\na,x,road\nb,x,water\n")
    assert read_tags(table, group="class").rows() == [["road"], ["water"]]
    with pytest.raises(ValueError, match="labels may be in 'class' or 'tags'; keep one"):
        read_tags(table)
