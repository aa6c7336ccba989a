"""Labels and their groups; tags ↔ multi-hot rows.

Knows the text side of a data set only: no chips, no paths to pictures.

Shape suffixes: N chips, L labels.
"""

import csv
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from training.config.planet import PLANET_GROUPS

RARE_BELOW = 0.02  # share of chips; on Planet's own labels it separates the same two groups


class Tags(NamedTuple):
    """The rows of a tags file, labels in alphabetical order."""

    names: list[str]  # N, the pictures' names without extension
    labels: list[str]  # L
    targets_NL: npt.NDArray[np.bool_]

    def rows(self) -> list[list[str]]:
        """Return each picture's tags in the labels' order."""
        return [
            [label for label, present in zip(self.labels, target_L, strict=True) if present]
            for target_L in self.targets_NL.tolist()
        ]


def read_tags(path: Path) -> Tags:
    """Read a CSV with the columns `image_name,tags`, tags separated by spaces.

    Raises:
        ValueError: names the row and the fix for a missing column, a repeated or empty name,
            a file without any tag, or one that is no UTF-8 text.
    """
    with table_of(path, "image_name", "tags") as reader:
        tags_by_name: dict[str, list[str]] = {}
        for row in reader:
            name, tags = row["image_name"], row["tags"]
            if None in row or "," in (tags or ""):
                raise ValueError(f"{path}, line {reader.line_num}: separate tags by spaces, not by commas")
            if not name or tags is None:
                raise ValueError(f"{path}, line {reader.line_num}: need both image_name and tags")
            if name in tags_by_name:
                raise ValueError(f"{path}, line {reader.line_num}: {name!r} is there twice; keep one row")
            tags_by_name[name] = tags.split()
    labels = sorted({tag for tags in tags_by_name.values() for tag in tags})
    if not labels:
        raise ValueError(f"{path}: no row has a tag")
    return Tags(list(tags_by_name), labels, multi_hot(tags_by_name.values(), labels))


@contextmanager
def table_of(path: Path, *columns: str) -> Iterator["csv.DictReader[str]"]:
    """Open a CSV that must have these columns.

    Raises:
        ValueError: it has others, or is no UTF-8 text, as far as it is read.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            found = reader.fieldnames or []
            if not set(columns) <= set(found):
                there = ",".join(found) if found else "nothing"
                raise ValueError(
                    f"{path}: its first line is {there!r:.80}; it must have {','.join(columns)}, "
                    "separated by a comma"
                )
            yield reader
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: is not UTF-8 text ({error.reason}); save it as CSV in UTF-8") from None
    except csv.Error as error:
        raise ValueError(f"{path}: is not a CSV ({error})") from None


def multi_hot(rows: Collection[Sequence[str]], labels: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Turn lists of tags into a bool matrix (N,L)."""
    column = {label: index for index, label in enumerate(labels)}
    targets_NL = np.zeros((len(rows), len(labels)), np.bool_)
    for index, tags in enumerate(rows):
        targets_NL[index, [column[tag] for tag in tags]] = True
    return targets_NL


def group_of_each(labels: Sequence[str], prevalence_L: npt.NDArray[np.float64]) -> list[str]:
    """Name each label's report group: Planet's own, otherwise common or rare by prevalence."""
    planet = {label: group for group, members in PLANET_GROUPS.items() for label in members}
    if set(labels) <= set(planet):
        return [planet[label] for label in labels]
    return ["rare" if share < RARE_BELOW else "common" for share in prevalence_L]
