"""A list in CSV or Parquet → the cells of the column that names chips, streamed.

Knows the columns that people have, and nothing of what the cells name.
"""

import csv
import io
import re
from collections.abc import Iterator, Sequence

from service.client.files import is_image
from service.offline.bulk import sources
from service.offline.bulk.errors import InputError
from service.scenes.stores import shown

LISTS = (".csv", ".tsv", ".parquet")
# Names of such columns, the clearest first, without blanks and underscores.
COLUMNS = (
    *("path", "address", "url", "uri", "href", "filepath", "imagepath", "file", "filename", "imagename"),
    *("image", "imagefile", "chip", "chipname", "img", "name", "patch", "patchname", "tile", "id"),
)
_DELIMITERS = ",;\t|"
_ROWS = 10_000  # of a Parquet file that are in memory at a time


def cells(address: str, column: str | None) -> Iterator[str]:
    """Yield the cells of a list's column without the blanks around them; "" for an empty one.

    Args:
        address: of the list.
        column: its name; None for the one whose name is among `COLUMNS`, or the only one.

    Raises:
        InputError: there is no such column, or the file is no list; says what is there.
        OSError: it cannot be read.
    """
    if address.split("?")[0].lower().endswith(".parquet"):
        yield from _of_parquet(address, column)
    else:
        yield from _of_text(address, column)


def _of_text(address: str, column: str | None) -> Iterator[str]:
    with (
        sources.opened(address, copied=True) as stream,
        io.TextIOWrapper(stream, "utf-8-sig", newline="") as text,
    ):
        try:
            first = text.readline()
            delimiter = max(_DELIMITERS, key=first.count)
            if not first.strip():
                raise InputError(f"{shown(address)}: its first line is empty; it must name the columns")
            columns = [cell.strip() for cell in next(csv.reader([first], delimiter=delimiter), [])]
            index = columns.index(_chosen(address, columns, column))
            for row in csv.reader(text, delimiter=delimiter):
                if any(row):
                    yield row[index].strip() if index < len(row) else ""
        except (UnicodeDecodeError, csv.Error) as error:
            raise InputError(f"{shown(address)}: is no CSV in UTF-8 ({error}); save it as one") from error


def _of_parquet(address: str, column: str | None) -> Iterator[str]:
    from pyarrow import ArrowInvalid
    from pyarrow.parquet import ParquetFile

    with sources.opened(address, copied=True) as stream:
        try:
            file = ParquetFile(stream)
            chosen = _chosen(address, file.schema_arrow.names, column)
            for batch in file.iter_batches(_ROWS, columns=[chosen]):
                for cell in batch.column(0).to_pylist():
                    yield "" if cell is None else str(cell).strip()
        except ArrowInvalid as error:
            raise InputError(f"{shown(address)}: is no Parquet that can be read ({error})") from error


def _chosen(address: str, columns: Sequence[str], asked: str | None) -> str:
    where, there = shown(address), ", ".join(map(shown, columns))
    if asked is not None:
        if asked in columns:
            return asked
        raise InputError(f"{where}: has no column {asked!r} for --column; it has {there}")
    plain = {re.sub(r"[\W_]", "", column).lower(): column for column in reversed(columns)}
    known = [plain[name] for name in COLUMNS if name in plain]
    alone = len(columns) == 1 and columns[0]
    if alone and (is_image(alone) or alone.lower().endswith(".tar") or "://" in alone):
        raise InputError(f"{where}: its first line is {shown(alone)}; it must name the column, such as path")
    if known or alone:
        return (known or columns)[0]
    raise InputError(f"{where}: which column names the chips? It has {there}; say so with --column")
