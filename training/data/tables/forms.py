"""Where the tags are, in which of the known forms, and reading them."""

import logging
from collections.abc import Callable
from pathlib import Path

from training.data.labels import Tags
from training.data.names import chip_files
from training.data.tables.cells import check_separator
from training.data.tables.checks import checked
from training.data.tables.columnar import read_columnar
from training.data.tables.columns import Columns, columns_of, labelled
from training.data.tables.delimited import read_delimited
from training.data.tables.documents import read_document, read_sidecars, sidecars
from training.data.tables.folders import class_folders, read_folders
from training.data.tables.table import Table, common_form
from training.run.folder import Source

log = logging.getLogger(__name__)

KNOWN_NAMES = ("labels.csv", "tags.csv", "train_v2.csv", "train_classes.csv")
READERS: dict[str, Callable[[Path], Table]] = {
    **dict.fromkeys((".csv", ".tsv", ".tab", ".txt"), read_delimited),
    **dict.fromkeys((".json", ".jsonl", ".ndjson"), read_document),
    **dict.fromkeys((".parquet", ".pq"), read_columnar),
}
FOUND = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")  # looked for; .txt may be anything
OTHERS = {  # by their first bytes
    b"PK\x03\x04": "a spreadsheet or another zip file; save the sheet as CSV in UTF-8",
    b"\xd0\xcf\x11\xe0": "an old spreadsheet; save the sheet as CSV in UTF-8",
    b"\x89HDF": "HDF5; write its names and labels as CSV: image_name,tags",
    b"\x1f\x8b": "compressed; unpack it",
    b"<": "XML, such as Pascal VOC's boxes; write one row for each whole chip as CSV: image_name,tags",
}
ACCEPTED = (
    "a CSV (image_name,tags, or a name and a column of 0 and 1 for each label), JSON, JSON Lines, Parquet, a "
    "JSON file beside each chip, or a folder of chips for each class"
)


def find_tags(source: Source) -> Path:
    """Return the table of tags: the given one, a well-known name, the folder's only table.

    A folder, where a JSON file lies beside each chip or each class has a folder of its own.

    Raises:
        ValueError: there is none, or several.
    """
    if source.tags:
        if not source.tags.exists():
            raise ValueError(f"{source.tags}: no such file or folder; --tags wants {ACCEPTED}")
        return source.tags
    if not source.data.is_dir():
        raise ValueError(
            f"{source.data}: no such folder; --data wants a folder of chips with a table of tags"
        )
    lists = {path.resolve() for path in (source.exclude, source.audit) if path}
    tables = [path for path in _files(source.data, *FOUND) if path.resolve() not in lists]
    found = [path for path in tables if path.name in KNOWN_NAMES] or tables
    if not found:
        root = source.chips or source.data
        if _beside_chips(root) or class_folders(root):
            return root
        found = _files(source.data, ".json")
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "no table of tags"
        raise ValueError(f"{source.data}: found {names}; name the table with --tags. It may be {ACCEPTED}")
    return found[0]


def read_tags(path: Path, separator: str | None = None, group: str | None = None) -> Tags:
    """Read a table of tags in any of the known forms, and say what was read.

    Args:
        path: the file, or the folder of files beside chips, of classes, or of tables.
        separator: the character between labels in one cell; None: blanks.
        group: a column that says which chips belong together, and is no label.

    Raises:
        ValueError: names the place and the fix of what cannot be read without guessing.
    """
    check_separator(separator)
    table = read_table(path)
    columns = columns_of(table, group)
    rows = list(labelled(table, columns, separator))
    text = columns.tags is not None and any(isinstance(row.cells[columns.tags], str) for row in table.rows)
    between = (separator or " ") if text else None
    log.info("%s: %s%s", path, table.form, _told(table, columns, between))
    never = [table.columns[index] for index in columns.labels]
    never = sorted(set(never).difference(*(row.labels for row in rows)))
    if never:
        log.info("%s: left out as no chip has them: %s", path, ", ".join(never))
    return checked(path, rows, between)


def _told(table: Table, columns: Columns, between: str | None) -> str:
    if columns.tags is None:
        return f", a column for each of {len(columns.labels)} labels"
    if table.path.is_dir():
        return ""
    separated = f" separated by {'blanks' if between == ' ' else repr(between)}" if between else ""
    name, tags = (repr(table.columns[index]) for index in (columns.name, columns.tags))
    other = [column for at, column in enumerate(table.columns) if at not in (columns.name, columns.tags)]
    unread = f"; not read: {', '.join(other)}" if other else ""
    return f", names from {name}, labels from {tags}{separated}{unread}"


def watched(path: Path) -> list[Path]:
    """Return the files of a table whose change is a change of the tags."""
    return [*_files(path, *FOUND), *sidecars(path)] if path.is_dir() else [path]


def read_table(path: Path) -> Table:
    """Read a table's cells, whatever their columns mean.

    Raises:
        ValueError: it is in none of the known forms.
    """
    if path.is_dir():
        return _read_folder(path)
    with path.open("rb") as stream:
        head = stream.read(8)
    for start, what in OTHERS.items():
        if head.startswith(start):
            raise ValueError(f"{path}: is {what}")
    return READERS.get(path.suffix.lower(), read_delimited)(path)


def _read_folder(path: Path) -> Table:
    if documents := _beside_chips(path):
        return read_sidecars(path, documents)
    if classes := class_folders(path):
        return read_folders(path, classes)
    if files := _files(path, *FOUND):
        return common_form([read_table(file) for file in files], path)
    if documents := sidecars(path):
        return read_sidecars(path, documents)
    raise ValueError(f"{path}: holds no table of tags; it must be {ACCEPTED}")


def _beside_chips(root: Path) -> list[Path]:
    """Return the JSON files below a folder if they lie beside chips; not one of all chips."""
    documents = sidecars(root)
    beside = any(chip_files(folder) for folder in {file.parent for file in documents})
    return documents if beside and (len(documents) > 1 or _is_of_one_chip(documents[0])) else []


def _is_of_one_chip(document: Path) -> bool:
    return any(chip.stem == document.stem for chip in chip_files(document.parent))


def _files(folder: Path, *suffixes: str) -> list[Path]:
    return [
        path for path in sorted(folder.glob("[!.]*")) if path.suffix.lower() in suffixes and path.is_file()
    ]
