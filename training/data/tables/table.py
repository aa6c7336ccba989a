"""What every form of table becomes before its columns are understood."""

from pathlib import Path
from typing import Any, NamedTuple

Cell = Any  # text in CSV; text, numbers, lists, None in JSON and Parquet


class Row(NamedTuple):
    """One row's cells, and where it stands in words for a message."""

    where: str  # "labels.csv, line 3"
    cells: list[Cell]


class Table(NamedTuple):
    """Rows under named columns."""

    path: Path
    form: str  # in words: "CSV, separated by ;"
    columns: list[str]
    rows: list[Row]


def common_form(tables: list[Table], path: Path) -> Table:
    """Put tables of the same columns under one another.

    Raises:
        ValueError: their columns differ.
    """
    first = tables[0]
    for other in tables[1:]:
        if other.columns != first.columns:
            raise ValueError(
                f"{path}: {first.path.name} and {other.path.name} have different columns; name one of them "
                "with --tags"
            )
    rows = [row for table in tables for row in table.rows]
    return Table(path, f"{len(tables)} tables, {first.form}", first.columns, rows)
