"""A folder for each class, its name the label → `Table`."""

import filecmp
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path

from service.contract.chips.band_files import ChipSource, first_file, group_bands, path_of
from training.data.names import CHIP_FOLDERS, all_chip_files, chip_files
from training.data.tables.documents import short_names
from training.data.tables.table import Row, Table

NO_CLASSES = {*CHIP_FOLDERS, "train", "training", "val", "valid", "validation", "test", "testing"}
NO_CLASSES |= {"mask", "masks", "label", "labels", "tif", "png", "train-tif", "train-tif-v2", "test-jpg"}


def class_folders(root: Path) -> list[Path]:
    """Return the folders of chips that stand side by side in a folder, or in its folder of chips.

    None where these are folders by use (`train`, `masks`), or most of them are one chip each, of a
    file per band.
    """
    for base in (root, *(root / name for name in CHIP_FOLDERS[:-1])):
        classes = [folder for folder in _folders(base) if folder.name.lower() not in NO_CLASSES]
        classes = [
            folder for folder in classes if chip_files(folder) or any(map(is_one_chip, _folders(folder)))
        ]
        if len(classes) > 1 and 2 * sum(map(is_one_chip, classes)) < len(classes):
            return classes
    return []


def is_one_chip(folder: Path) -> bool:
    """Tell whether the images in a folder are one chip, a file for each band and of any format."""
    chips, alone, _ = group_bands({file.with_suffix(".tif") for file in chip_files(folder)}, None)
    return len(chips) == 1 and not alone


def read_folders(root: Path, classes: Sequence[Path]) -> Table:
    """Read the chips in and below each folder, which is their label.

    Raises:
        ValueError: a chip lies in several of the folders, of which it can have one label only.
    """
    base = classes[0].parent
    class_of: dict[Path, str] = {}
    first_of: dict[Path, Path] = {}  # each chip's first file
    for folder in classes:
        chips, alone, _ = group_bands(all_chip_files(folder), None, folder)
        found: list[ChipSource] = [*chips, *alone]
        first = {path_of(chip): first_file(chip) for chip in found}
        class_of |= dict.fromkeys(first, folder.name)
        first_of |= first
    _refuse_copies(first_of)
    paths = sorted(class_of)
    names = short_names([path.with_suffix("") if first_of[path] == path else path for path in paths], base)
    if len(set(names)) < len(names):  # one name with two extensions
        names = [path.relative_to(base).as_posix() for path in paths]
    rows = [Row(str(path), [name, [class_of[path]]]) for name, path in zip(names, paths, strict=True)]
    return Table(root, f"a folder for each of {len(classes)} classes", ["image_name", "tags"], rows)


def _refuse_copies(first_of: Mapping[Path, Path]) -> None:
    """Refuse one picture under one name in two folders; pictures numbered by class are others."""
    named = defaultdict(list)
    for path, file in first_of.items():
        named[path.name, file.stat().st_size].append(file)
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


def _folders(base: Path) -> list[Path]:
    return [folder for folder in sorted(base.glob("[!.]*")) if folder.is_dir()]
