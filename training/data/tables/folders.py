"""A folder for each class, its name the label → `Table`."""

import filecmp
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path

from training.data.names import CHIP_FOLDERS, all_chip_files, chip_files
from training.data.tables.documents import short_names
from training.data.tables.table import Row, Table

NO_CLASSES = {*CHIP_FOLDERS, "train", "training", "val", "valid", "validation", "test", "testing"}
NO_CLASSES |= {"mask", "masks", "label", "labels", "tif", "png", "train-tif", "train-tif-v2", "test-jpg"}
BAND = re.compile(r"(^|[._-])B\d{1,2}A?$", re.IGNORECASE)  # of Sentinel-2 and Landsat


def class_folders(root: Path) -> list[Path]:
    """Return the folders of chips that stand side by side in a folder, or in its folder of chips.

    None where these are folders by use (`train`, `masks`), or each a chip of one file per band.
    """
    for base in (root, *(root / name for name in CHIP_FOLDERS[:-1])):
        folders = [folder for folder in sorted(base.glob("[!.]*")) if folder.is_dir() and chip_files(folder)]
        classes = [folder for folder in folders if folder.name.lower() not in NO_CLASSES]
        if len(classes) > 1 and not all(_is_one_chip(folder) for folder in classes):
            return classes
    return []


def read_folders(root: Path, classes: Sequence[Path]) -> Table:
    """Read the chips in and below each folder, which is their label.

    Raises:
        ValueError: a chip lies in several of the folders, of which it can have one label only.
    """
    base = classes[0].parent
    class_of = {file: folder.name for folder in classes for file in all_chip_files(folder)}
    _refuse_copies(list(class_of))
    files = list(class_of)
    names = short_names([file.with_suffix("") for file in files], base)
    if len(set(names)) < len(names):  # one name with two extensions
        names = [file.relative_to(base).as_posix() for file in files]
    rows = [Row(str(file), [name, [class_of[file]]]) for name, file in zip(names, files, strict=True)]
    return Table(root, f"a folder for each of {len(classes)} classes", ["image_name", "tags"], rows)


def _refuse_copies(files: Sequence[Path]) -> None:
    """Refuse one picture under one name in two folders; pictures numbered by class are others."""
    named = defaultdict(list)
    for file in files:
        named[file.name, file.stat().st_size].append(file)
    copies = [pair for group in named.values() for pair in _same(group)]
    if copies:
        first, second = copies[0]
        raise ValueError(
            f"{first} and {second} are one chip ({len(copies)} such pairs): a folder for each class gives a "
            f"chip one label; remove one, or write a table: image_name,tags and {first.name},"
            f"\"{first.parent.name};{second.parent.name}\", with --separator ';'"
        )


def _same(files: Sequence[Path]) -> Iterator[tuple[Path, Path]]:
    return (pair for pair in combinations(files, 2) if filecmp.cmp(*pair, shallow=False))


def _is_one_chip(folder: Path) -> bool:
    return all(BAND.search(file.stem) for file in chip_files(folder))
