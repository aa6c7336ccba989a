"""CSV, also separated by tabs or semicolons, as programs and spreadsheets save it → `Table`."""

import codecs
import csv
import io
import re
from pathlib import Path

from training.data.tables.table import Row, Table
from training.run.files import unguarded

DELIMITERS = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars"}
UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_delimited(path: Path) -> Table:
    """Read a table whose first line names its columns.

    Rows without any value are nothing, and so are empty cells behind a row's end: spreadsheets
    write both. Names of columns lose the blanks around them. An apostrophe that keeps text from
    being a formula is none of the text.

    Raises:
        ValueError: it is no text, no table, or has two columns of one name.
    """
    text = _text(path)
    first = re.match(r"sep=(.)\r?\n", text)  # how a spreadsheet is told the separator
    delimiter = first[1] if first else _delimiter(text)
    reader = csv.reader(io.StringIO(text[first.end() :] if first else text, newline=""), delimiter=delimiter)
    above = 1 if first else 0
    try:
        columns = _without_empty_end([unguarded(cell.strip()) for cell in next(reader, [])])
        rows = [
            Row(f"{path}, line {reader.line_num + above}", list(map(unguarded, cells)))
            for cells in reader
            if any(cell.strip() for cell in cells)
        ]
    except csv.Error as error:
        raise ValueError(f"{path}: is not a CSV ({error})") from None
    repeated = sorted({column for column in columns if columns.count(column) > 1})
    if repeated:
        raise ValueError(f"{path}: its first line names {repeated[0]!r} twice; rename or remove one column")
    for where, cells in rows:
        if any("\n" in cell for cell in cells):
            raise ValueError(f'{where}: a quote (") is opened and not closed before the end of its line')
        cells[len(columns) :] = _without_empty_end(cells[len(columns) :])
    return Table(path, f"a table separated by {DELIMITERS.get(delimiter, delimiter)}", columns, rows)


def _text(path: Path) -> str:
    data = path.read_bytes()
    encoding = "utf-16" if data.startswith(UTF_16) else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: is not UTF-8 text ({error.reason}); save it as CSV in UTF-8") from None


def _delimiter(text: str) -> str:
    """Return the character that cuts the first line into the most columns."""
    line = re.split(r"[\r\n]", text, maxsplit=1)[0]
    return max(DELIMITERS, key=lambda delimiter: len(next(csv.reader([line], delimiter=delimiter), [])))


def _without_empty_end(cells: list[str]) -> list[str]:
    while cells and not cells[-1].strip():
        cells = cells[:-1]
    return cells
