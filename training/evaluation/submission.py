"""A bundle's label sets for chips without labels, as a file that the Planet contest takes.

Streams: chips are decoded, voted on and written slice by slice, so 61,191 of them take no more
memory than a few hundred. Nothing is written unless every row is right.

Shape suffixes: B chips.
"""

import csv
import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from service.contract.bundle import Bundle
from service.contract.files import atomic_write
from service.contract.manifest import Precision
from training.data.names import chip_files
from training.data.reading import decode_files
from training.evaluation.inference import COLUMNS, Predictor, tags_of, write_tags
from training.run.files import write_csv

log = logging.getLogger(__name__)

Row = tuple[str, list[str]]  # a name and its tags
SLICE = 64  # chips voted on at a time
SHOWN = 10  # names listed of each kind of fault


def submit(
    bundle: Bundle,
    folders: Sequence[Path],
    precision: Precision,
    out: Path,
    sample: Path | None = None,
    *,
    skip_bad: bool = False,
) -> None:
    """Write `image_name,tags` for every chip: in the sample's order, or sorted by name.

    Args:
        bundle: a verified bundle.
        folders: where the chips lie, all of them together.
        precision: which graphs to run.
        out: the CSV to write.
        sample: a CSV whose rows say which chips are wanted, in which order.
        skip_bad: give a chip that cannot be read no tags and list it in `<out>-skipped.csv`,
            instead of writing nothing.

    Raises:
        ValueError: chips are missing, not asked for, there twice, or unreadable; lists them.
    """
    files = _files(folders)
    names = _names(sample) if sample else sorted(files, key=_natural)
    _refuse(", ".join(map(str, folders)), _differences(list(files), names))
    bad: dict[str, str] = {}
    with atomic_write(out) as partial:
        write_tags(
            partial,
            _rows(bundle, precision, {name: files[name] for name in names}, bad, skip_bad=skip_bad),
        )
        _check(str(out), _read(partial), bundle.label_names, names)
    if bad:
        skipped = out.with_name(f"{out.stem}-skipped.csv")
        write_csv(skipped, ("image_name", "reason"), bad.items())
        log.warning("%d chips cannot be read and have no tags, see %s", len(bad), skipped)


def check(path: Path, labels: Sequence[str], names: Sequence[str] | None = None) -> None:
    """Check a submission's columns, names, their order, and tags.

    Args:
        path: the CSV.
        labels: the tags that may be there.
        names: the rows that must be there, in order; None: any.

    Raises:
        ValueError: lists every kind of fault with its first rows.
    """
    _check(str(path), _read(path), labels, names)


def _check(where: str, rows: Sequence[Row], labels: Sequence[str], names: Sequence[str] | None) -> None:
    found = [name for name, _ in rows]
    faults = _differences(found, names)
    known = set(labels)
    unknown = Counter(tag for _, tags in rows for tag in tags if tag not in known)
    if unknown:
        faults["unknown tags"] = [f"{tag} ({count} rows)" for tag, count in unknown.items()]
    if not faults and names is not None and found != list(names):
        line = next(i for i, pair in enumerate(zip(found, names, strict=True), 2) if pair[0] != pair[1])
        faults["rows in another order than the sample"] = [f"from line {line}, {found[line - 2]}"]
    _refuse(where, faults)
    empty = sum(not tags for _, tags in rows)
    mean = sum(len(tags) for _, tags in rows) / max(len(rows), 1)
    log.info("%s: %d rows are right, %.2f tags each, %d without any", where, len(rows), mean, empty)


def wanted_names(folders: Sequence[Path], sample: Path | None) -> list[str] | None:
    """Return the rows that a submission must have, None if nothing says so."""
    if sample:
        return _names(sample)
    return sorted(_files(folders), key=_natural) if folders else None


def _rows(
    bundle: Bundle, precision: Precision, files: dict[str, Path], bad: dict[str, str], *, skip_bad: bool
) -> Iterator[Row]:
    """Yield names and tags, noting chips that cannot be read."""
    predictor = Predictor(bundle, precision)
    decoded = decode_files(list(files.values()), bundle.manifest.input, "label chips")
    pairs = ((name, chip) for name, (_, chip) in zip(files, decoded, strict=True))
    while part := list(islice(pairs, SLICE)):
        bad |= {name: chip for name, chip in part if isinstance(chip, str)}
        if bad and not skip_bad:
            continue  # all is lost: only look for more of them
        chips = [chip for _, chip in part if not isinstance(chip, str)]
        tags = iter(tags_of(predictor.label_sets(np.stack(chips)), bundle.label_names) if chips else ())
        yield from ((name, [] if name in bad else next(tags)) for name, _ in part)
    if bad and not skip_bad:
        reasons = {"chips that cannot be read": [f"{name}: {why}" for name, why in bad.items()]}
        _refuse("nothing written; --skip-bad leaves their tags empty", reasons)


def _files(folders: Iterable[Path]) -> dict[str, Path]:
    found: list[Path] = []
    for folder in folders:
        inside = chip_files(folder)
        if not inside:
            raise ValueError(f"{folder}: no chip in it; name the folders of the chips with --chips")
        found += inside
    repeated = [name for name, count in Counter(file.stem for file in found).items() if count > 1]
    _refuse("the chips' folders", {"names that are there twice": repeated} if repeated else {})
    return {file.stem: file for file in found}


def _names(sample: Path) -> list[str]:
    names = [name for name, _ in _read(sample)]
    _refuse(str(sample), _differences(names, None))
    return names


def _read(path: Path) -> list[Row]:
    with path.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.reader(stream)
        head = next(reader, [])
        if tuple(head) != COLUMNS:
            raise ValueError(f"{path}: the first line is {','.join(head)!r}, must be {','.join(COLUMNS)!r}")
        rows = [(reader.line_num, row) for row in reader]
    broken = [f"line {line}" for line, row in rows if len(row) != len(COLUMNS) or not row[0]]
    _refuse(str(path), {"rows that are no name and tags": broken} if broken else {})
    return [(row[0], row[1].split()) for _, row in rows]


def _differences(found: Sequence[str], names: Sequence[str] | None) -> dict[str, list[str]]:
    """Return names that are there twice, missing, or not asked for."""
    faults = {"names that are there twice": [name for name, count in Counter(found).items() if count > 1]}
    if names is not None:
        there, asked = set(found), set(names)
        faults["missing names"] = [name for name in names if name not in there]
        faults["names that were not asked for"] = [name for name in found if name not in asked]
    return {kind: rows for kind, rows in faults.items() if rows}


def _refuse(where: str, faults: dict[str, list[str]]) -> None:
    if not faults:
        return
    lines = [
        f"  {len(rows)} {kind}: {', '.join(rows[:SHOWN])}{', …' if len(rows) > SHOWN else ''}"
        for kind, rows in faults.items()
    ]
    raise ValueError("\n".join([f"{where}:", *lines]))


def _natural(name: str) -> list[tuple[bool, int, str]]:
    """Sort numbers inside names by their value: test_9 before test_10."""
    parts = re.split(r"([0-9]+)", name)
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts]
