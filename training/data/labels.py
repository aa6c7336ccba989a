"""Labels and their groups; tags ↔ multi-hot rows.

Knows neither chips nor the files that tags come from.

Shape suffixes: N chips, L labels.
"""

import re
from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from training.config.planet import PLANET_GROUPS

NO_WORD = re.compile(r"""[\s,;|/"“”()\[\]{}]+|^['‘’`]+|['‘’`]+$""")
RARE_BELOW = 0.02  # share of chips; on Planet's own labels it separates the same two groups


class Tags(NamedTuple):
    """The rows of a table of tags, labels in alphabetical order."""

    names: list[str]  # N, the pictures' names as the table has them
    labels: list[str]  # L, each one word, see `as_word`
    targets_NL: npt.NDArray[np.bool_]

    def rows(self) -> list[list[str]]:
        """Return each picture's tags in the labels' order."""
        return [
            [label for label, present in zip(self.labels, target_L, strict=True) if present]
            for target_L in self.targets_NL.tolist()
        ]


def as_word(label: str) -> str:
    """Write a label as one word, as which every table of this project holds it.

    Blanks and whatever could separate or quote labels become hyphens: `bare soil` → `bare-soil`,
    `Beaches, dunes, sands` → `Beaches-dunes-sands`. A word stays as it is.
    """
    return NO_WORD.sub("-", label).strip("-") if NO_WORD.search(label) else label


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
