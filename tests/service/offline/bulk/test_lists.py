from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service.offline.bulk.errors import InputError
from service.offline.bulk.lists import cells


@pytest.mark.parametrize(
    ("text", "column", "found"),
    [
        ("path\na.png\nb.png\n", None, ["a.png", "b.png"]),
        ("id,Image_Name,labels\n1,a.png,x\n2,b.png,y\n", None, ["a.png", "b.png"]),
        ("image\tpath\na.png\tb.png\n", None, ["b.png"]),
        ("image\tpath\na.png\tb.png\n", "image", ["a.png"]),
        ('\ufeffwhatever\n"a,1.png"\n', None, ["a,1.png"]),
        ("path,n\na.png,1\n\n,2\n", None, ["a.png", ""]),
    ],
)
def test_the_column_of_names_is_found(
    tmp_path: Path, text: str, column: str | None, found: list[str]
) -> None:
    (tmp_path / "list.csv").write_text(text)
    assert list(cells(str(tmp_path / "list.csv"), column)) == found


def test_parquet_is_read_alike(tmp_path: Path) -> None:
    table = pa.table({"n": range(25_000), "uri": [f"{n}.png" if n else None for n in range(25_000)]})
    pq.write_table(table, tmp_path / "list.parquet")
    found = list(cells(str(tmp_path / "list.parquet"), None))
    assert found == ["", *(f"{n}.png" for n in range(1, 25_000))]


@pytest.mark.parametrize(
    ("text", "column", "said"),
    [
        (b"left,right\na,b\n", None, "which column .* left, right; say so with --column"),
        (b"", None, "must name the columns"),
        (b"path\na\n", "url", "no column 'url' for --column; it has path"),
        (b"path\n\xff\xfe\n", None, "no CSV in UTF-8"),
        (b"a.png\nb.png\n", None, "first line is a.png; it must name the column"),
        (b"https://host/chip/7?sig=S3CRET\n", None, "first line is https://host/chip/7; it must name"),
    ],
)
def test_what_is_no_list_is_refused(tmp_path: Path, text: bytes, column: str | None, said: str) -> None:
    (tmp_path / "list.csv").write_bytes(text)
    with pytest.raises(InputError, match=said):
        list(cells(str(tmp_path / "list.csv"), column))


def test_a_broken_parquet_is_refused(tmp_path: Path) -> None:
    (tmp_path / "list.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(InputError, match="no Parquet"):
        list(cells(str(tmp_path / "list.parquet"), None))
