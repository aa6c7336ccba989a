"""JSON → `Table`: one file of all chips, a line for each, or a file beside each chip."""

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from training.data.tables.columns import is_tags
from training.data.tables.table import Row, Table
from training.run.progress import track

OF_ONE_CHIP = re.compile(r"(_labels?|_tags)?(_metadata)?$", re.IGNORECASE)  # BigEarthNet's names


def read_document(path: Path) -> Table:
    """Read JSON or JSON Lines: a list of objects, or an object of chips and their labels.

    Raises:
        ValueError: it is neither, names a chip twice, or is JSON of another purpose.
    """
    text = path.read_text(encoding="utf-8-sig")
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if len(lines) > 1 and all(line.lstrip()[0] == "{" and line.rstrip()[-1] == "}" for _, line in lines):
        records = [(f"{path}, line {number}", _parsed(line, path, number)) for number, line in lines]
        return _table(path, "JSON Lines", records)
    return _table(path, "JSON", _records(path, _parsed(text, path)))


def sidecars(root: Path) -> list[Path]:
    """Return all JSON files below a folder, sorted, but hidden ones."""
    return sorted(file for file in root.rglob("[!.]*.json") if not _is_hidden(file, root))


def read_sidecars(root: Path, files: Sequence[Path]) -> Table:
    """Read the JSON files that lie beside chips, each with a list `labels` or `tags`.

    A chip is named by its file without `_labels_metadata` and the like, or where the file is called
    no more than that, by its folder.

    Raises:
        ValueError: none has labels.
    """
    reading = track(files, "read labels", len(files))
    contents = (_parsed(file.read_text(encoding="utf-8-sig"), file) for file in reading)
    named = [(file, _tags_of(content)) for file, content in zip(files, contents, strict=True)]
    rows = {file: tags for file, tags in named if tags is not None}
    if not rows:
        raise ValueError(f"{root}: none of its {len(files)} JSON files has a list `labels` or `tags`")
    beside = {
        folder: {other.stem for other in folder.iterdir() if other.suffix != ".json"}
        for folder in {file.parent for file in rows}
    }
    names = short_names([_chip_of(file, beside[file.parent]) for file in rows], root)
    table = [Row(str(file), [name, rows[file]]) for name, file in zip(names, rows, strict=True)]
    return Table(root, f"{len(rows)} JSON files, one for each chip", ["image_name", "tags"], table)


def short_names(files: Sequence[Path], root: Path) -> list[str]:
    """Name files by their bare names where these differ, otherwise with their folders."""
    bare = [file.name for file in files]
    return bare if len(set(bare)) == len(bare) else [file.relative_to(root).as_posix() for file in files]


def _parsed(text: str, path: Path, line: int | None = None) -> Any:  # noqa: ANN401 — anything JSON can hold
    try:
        return json.loads(text, object_pairs_hook=_unrepeated)
    except json.JSONDecodeError as error:
        place = line or error.lineno
        raise ValueError(f"{path}, line {place}: is not JSON ({error.msg}, column {error.colno})") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    except RecursionError:
        raise ValueError(f"{path}: is nested far too deep to be labels of chips") from None


def _unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):  # Python's own reader would keep the last without a word
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"{twice!r} is there twice; keep one of them")
    return found


def _records(path: Path, content: Any) -> list[tuple[str, Any]]:  # noqa: ANN401
    """Return one object for each chip, and where it stands."""
    if isinstance(content, dict):
        if {"images", "annotations"} <= content.keys():
            raise ValueError(f"{path}: is COCO, which labels boxes or shapes; {WANTED}")
        if content.get("type") == "FeatureCollection":
            raise ValueError(f"{path}: is GeoJSON, which labels shapes on the ground; {WANTED}")
        if _tags_of(content) is not None:
            raise ValueError(f"{path}: holds the labels of one chip; name the folder of all such files")
        lists = [value for value in content.values() if value and _are(dict, value)]
        if len(lists) == 1:  # such as {"predictions": […]}, which the service answers
            content = lists[0]
        else:
            return [(f"{path}, {name!r}", _record(name, value)) for name, value in content.items()]
    if not _are(dict, content):
        raise ValueError(f"{path}: holds neither chips nor their labels; {WANTED}")
    return [(f"{path}, entry {number}", record) for number, record in enumerate(content, 1)]


WANTED = (
    'it must be {"chip_1.png": ["road", "water"], …} or [{"image_name": "chip_1.png", "tags": ["road"]}, …], '
    "with all labels of a chip in one place"
)


def _record(name: str, value: Any) -> dict[str, Any]:  # noqa: ANN401
    return {"image_name": name, **value} if isinstance(value, dict) else {"image_name": name, "tags": value}


def _table(path: Path, form: str, records: Iterable[tuple[str, Any]]) -> Table:
    found = list(records)
    columns = list(dict.fromkeys(key for _, record in found for key in record))
    rows = [Row(where, [record.get(column) for column in columns]) for where, record in found]
    return Table(path, form, columns, rows)


def _tags_of(content: Any) -> Any:  # noqa: ANN401
    """Return the labels in a sidecar's content, None if it has none."""
    pairs = content.items() if isinstance(content, dict) else ()
    return next((value for key, value in pairs if is_tags(key) and isinstance(value, list | str)), None)


def _chip_of(file: Path, beside: set[str]) -> Path:
    """Drop what a sidecar's name has beyond that of the chip among the names beside it."""
    if {file.stem, Path(file.stem).stem} & beside:
        return file.with_name(file.stem)
    name = OF_ONE_CHIP.sub("", f"_{file.stem}")[1:]
    return file.with_name(name) if name else file.parent


def _are(kind: type, value: Any) -> bool:  # noqa: ANN401
    return isinstance(value, list) and all(isinstance(item, kind) for item in value)


def _is_hidden(file: Path, root: Path) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in file.relative_to(root).parts)
