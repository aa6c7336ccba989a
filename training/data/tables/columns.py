"""A table's columns → each row's name and labels: a column of tags, or a column for each label."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from training.data.names import bare
from training.data.tables.cells import labels_of
from training.data.tables.table import Cell, Row, Table

NAMES = {
    *("imagename", "image", "imageid", "imagefile", "imagepath", "img", "imagelabel", "picture"),
    *("filename", "file", "filepath", "path", "chip", "chipname", "chipid", "patch", "patchid", "patchname"),
    *("tile", "tileid", "tilename"),
}
PERHAPS_NAMES = {"id", "name", "sample", "sampleid"}  # where no column has one of the others
TAGS = {
    *("tags", "tag", "labels", "label", "labelnames", "classes", "class", "classname", "categories"),
    *("category", "landuse", "landcover", "multilabel", "multilabels"),
}
BOXES = {"xmin", "bbox", "xmax", "geometry", "segmentation", "polygon"}
EMPTY, ODD = None, "odd"
ONES: dict[Cell, bool | None] = {
    **dict.fromkeys(("1", "1.0", "true", "yes"), True),
    **dict.fromkeys(("0", "0.0", "false", "no"), False),
    "": EMPTY,
}


class Labelled(NamedTuple):
    """One chip of a table."""

    where: str
    name: str
    labels: list[str]


class Columns(NamedTuple):
    """Which columns say what."""

    name: int
    tags: int | None  # None: every one of `labels` is a column of 0 and 1
    labels: list[int]


def is_tags(column: str) -> bool:
    """Tell whether a column or key of this name holds labels."""
    return _plain(column) in TAGS


def columns_of(table: Table, group: str | None = None) -> Columns:
    """Tell names from tags by the columns' names, and 0 and 1 by what is in them.

    Args:
        table: any.
        group: a column that is neither name nor label.

    Raises:
        ValueError: there are no such columns; says what was found and what is accepted.
    """
    columns = table.columns
    if group is not None and group not in columns:
        raise ValueError(f"{table.path}: has no column {group!r} for --group; it has {', '.join(columns)}")
    first = 1 if _is_index(table) else 0
    rest = [index for index in range(first, len(columns)) if columns[index] != group]
    boxes = [column for column in columns if _plain(column) in BOXES]
    if boxes:
        raise ValueError(
            f"{table.path}: the column {boxes[0]!r} is of boxes or shapes inside pictures; write one row "
            "for each whole chip, with all its labels: image_name,tags"
        )
    known = [index for names in (NAMES, PERHAPS_NAMES) for index in rest if _plain(columns[index]) in names]
    name = known[0] if known else None
    tags = [index for index in rest if is_tags(columns[index]) and index != name]
    if name is not None and tags:
        words = [index for index in tags if not all(_is_number(row, index) for row in table.rows)]
        if len(words) > 1:
            found = " or ".join(repr(columns[index]) for index in words)
            raise ValueError(
                f"{table.path}: labels may be in {found}; keep one of these columns, or rename those that "
                "hold no labels"
            )
        return Columns(name, [*words, *tags][0], [])
    if bare(columns[0] if columns else "") != "".join(columns[:1]):
        raise ValueError(f"{_unknown(table)}. It names a chip: write image_name,tags as a line above it")
    if len(rest) < 2 or any(column in ONES for column in columns[1:]):
        raise ValueError(_unknown(table))
    name = rest[0] if name is None else name
    return Columns(name, None, [index for index in rest if index != name])


def labelled(table: Table, columns: Columns, separator: str | None) -> Iterator[Labelled]:
    """Yield each row's name without the blanks around it, and its labels.

    Raises:
        ValueError: names the row and the fix.
    """
    sparse = columns.tags is None and not any(
        _one(row.cells[index]) is False
        for row in table.rows
        for index in columns.labels
        if index < len(row.cells)
    )
    for row in table.rows:
        cell = row.cells[columns.name] if len(row.cells) > columns.name else None
        name = "" if cell is None else str(cell).strip()
        if not name or len(row.cells) <= (columns.tags or 0):
            raise ValueError(f"{row.where}: need both image_name and tags; complete the row or remove it")
        one_hot = columns.tags is None
        labels = _ones(table, row, columns, sparse) if one_hot else _tags(table, row, columns, separator)
        yield Labelled(row.where, name, labels)


def _ones(table: Table, row: Row, columns: Columns, sparse: bool) -> list[str]:
    """Return the columns that hold 1; where no cell of a table is 0, empty cells are."""
    if len(row.cells) != len(table.columns):
        raise ValueError(
            f"{row.where}: has {len(row.cells)} cells under {len(table.columns)} columns; quote commas"
        )
    labels = []
    for index in columns.labels:
        one = _one(row.cells[index])
        if one is True:
            labels.append(table.columns[index])
        elif one is EMPTY and not sparse:
            raise ValueError(f"{row.where}: has no value under {table.columns[index]!r}; write 0 or 1")
        elif one is ODD:
            raise ValueError(
                f"{row.where}: {table.columns[index]!r} is {row.cells[index]!r:.60}. No column is called "
                f"tags or labels, so all but {table.columns[columns.name]!r} must be labels with 0 or 1; "
                "remove the others"
            )
    return labels


def _one(cell: Cell) -> bool | str | None:
    try:
        return ONES[cell]
    except (KeyError, TypeError):  # spelt otherwise, or no text
        return ONES.get("" if cell is None else str(cell).strip().lower(), ODD)


def _tags(table: Table, row: Row, columns: Columns, separator: str | None) -> list[str]:
    assert columns.tags is not None
    where, cells = row
    cell, beyond = cells[columns.tags], cells[len(table.columns) :]
    if beyond:
        if separator != "," or columns.tags != len(table.columns) - 1:
            raise ValueError(
                f"{where}: has {len(cells)} cells under {len(table.columns)} columns; separate tags by "
                "spaces, not by ',', or declare --separator ','"
            )
        cell = ",".join((cell, *beyond))
    try:
        return labels_of(cell, separator)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def _is_number(row: Row, index: int) -> bool:
    """Tell whether a cell holds a number, such as a class has beside its name."""
    return len(row.cells) > index and str(row.cells[index]).strip().isdigit()


def _is_index(table: Table) -> bool:
    """Tell whether the first column counts the rows, as pandas writes it."""
    unnamed = table.columns[:1] in ([""], ["Unnamed: 0"])
    return unnamed and any(_plain(column) in NAMES | PERHAPS_NAMES for column in table.columns)


def _unknown(table: Table) -> str:
    there = ",".join(table.columns) or "nothing"
    what = "its first line is" if table.form.startswith("a table") else "its entries have"
    return (
        f"{table.path}: {what} {there!r:.80}; it must have image_name,tags, or a name and then a column of 0 "
        "and 1 for each label"
    )


def _plain(column: str) -> str:
    return re.sub(r"[^a-z0-9]", "", column.lower())
