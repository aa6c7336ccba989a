"""Which chips belong together, so that no fold's network is scored on what it was trained on.

Copies of a chip are found by their pixels (`copies`), chips of one place by their georeference
(`places`) or by a column of the tags file that names it. Knows no folds.

Shape suffixes: N chips, P pairs.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from service.contract.chips.band_files import ChipSource
from training.data.copies import find_copies
from training.data.places import pairs_of_place, read_places
from training.data.tables.columns import columns_of
from training.data.tables.forms import read_table

log = logging.getLogger(__name__)

BLOCK_KM = 1.0  # a few chips wide at the resolutions of aircraft and of most satellites
MOST = 0.5  # of all chips in one group: beyond it no folds are worth the name
SAME, ALIKE, PLACE = "same pixels", "nearly the same picture", "one place on the ground"


@dataclass(frozen=True)
class Grouping:
    """The group of each chip, and what joined them."""

    groups_N: npt.NDArray[np.int64]  # 0.., numbered by their first chip
    joined: Mapping[str, int] | None  # by what, and how many chips it joined, not 0; None: not looked for
    note: str = ""  # what else is to be known of it

    @property
    def shared_N(self) -> npt.NDArray[np.bool_]:
        """Which chips have another in their group."""
        return np.bincount(self.groups_N)[self.groups_N] > 1

    def sentence(self, apart: int) -> str:
        """Say how the chips were grouped.

        Args:
            apart: how many chips would have had another of their group in another fold.
        """
        if self.joined is None:
            return (
                "Chips were not searched for copies and places (an earlier version made the folds): where a "
                "chip and its copy are in different folds, the scores are too high."
            )
        if not self.joined:
            return f"No chip was found to belong to another: no copies, no shared place. {self.note}".strip()
        chips, groups = int(self.shared_N.sum()), len(np.unique(self.groups_N[self.shared_N]))
        by = ", ".join(f"{kind} {count:,}" for kind, count in self.joined.items())
        return (
            f"{chips:,} of {len(self.groups_N):,} chips belong to {groups:,} groups of more than one ({by}); "
            f"a group is in one fold as a whole. In folds that do not know groups, {apart:,} chips would "
            f"have had another of their group among the chips that their network learned from. {self.note}"
        ).strip()


def find_groups(
    chips_NHWC: npt.NDArray[Any],
    files: Sequence[ChipSource],
    folds: int,
    block_km: float | None = None,
    column: tuple[str, Sequence[str]] | None = None,
) -> Grouping:
    """Join copies, and chips of one place.

    Args:
        chips_NHWC: decoded pixels.
        files: where each chip was read from.
        folds: how many there will be.
        block_km: see `pairs_of_place`; None is `BLOCK_KM` where that leaves enough groups.
        column: the name and values of a column that says what belongs together, in place of the
            georeference; a chip whose value is empty stands alone.

    Raises:
        ValueError: what is left apart cannot make the folds.
    """
    chips = len(chips_NHWC)
    copies = find_copies(chips_NHWC)
    pairs = {SAME: copies.same_P2, ALIKE: copies.alike_P2}
    if column:
        pairs[f"the column {column[0]}"] = _pairs_of_equal(column[1])
    else:
        block = BLOCK_KM if block_km is None else block_km
        pairs[PLACE] = pairs_of_place(read_places(files), block)
    found = _joined(chips, pairs)
    if block_km is None and not column and len(pairs[PLACE]) and _fault(found, folds):
        note = (
            f"Chips are not grouped by place: by blocks of {BLOCK_KM:g} km, {_fault(found, folds)}. So "
            "scores may be too high, where chips lie beside those that their network learned from; give "
            "--block-km or --group."
        )
        log.warning("%s", note)
        found = replace(_joined(chips, {kind: pairs[kind] for kind in (SAME, ALIKE)}), note=note)
    if found.joined and (fault := _fault(found, folds)):
        by = ", ".join(found.joined)
        raise ValueError(
            f"{fault} ({by}), and chips of one group must be in one fold; use fewer folds, more chips that "
            "differ, a smaller --block-km, or say with --group which column tells chips of one place"
        )
    return found


def read_column(path: Path, column: str, names: Sequence[str]) -> list[str]:
    """Return a column's value for each name that a table of tags has.

    Raises:
        ValueError: there is no such column, or a row ends before it.
    """
    table = read_table(path)
    key, value = columns_of(table, column).name, table.columns.index(column)
    rows = (row.cells for row in table.rows if len(row.cells) > max(key, value))
    pairs = ((str(cells[key]), cells[value]) for cells in rows)
    values = {name.strip(): "" if cell is None else str(cell).strip() for name, cell in pairs}
    lacking = [name for name in names if name not in values]
    if lacking:
        raise ValueError(f"{path}: no row of {lacking[0]!r} has a value for --group {column}")
    return [values[name] for name in names]


def _pairs_of_equal(values: Sequence[str]) -> npt.NDArray[np.int64]:
    first_of: dict[str, int] = {}
    pairs = [(first_of.setdefault(value, row), row) for row, value in enumerate(values) if value]
    return np.array(pairs, np.int64).reshape(-1, 2)


def _joined(chips: int, pairs: Mapping[str, npt.NDArray[np.int64]]) -> Grouping:
    alone = {kind: Grouping(_components(chips, found_P2), None) for kind, found_P2 in pairs.items()}
    joined = {kind: int(grouping.shared_N.sum()) for kind, grouping in alone.items()}
    return Grouping(
        _components(chips, np.concatenate(list(pairs.values()))),
        {kind: count for kind, count in joined.items() if count},
    )


def _components(chips: int, pairs_P2: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return each chip's group: all that a chain of pairs leads to."""
    graph_NN = coo_array((np.ones(len(pairs_P2), np.bool_), tuple(pairs_P2.T)), shape=(chips, chips))
    return np.asarray(connected_components(graph_NN, directed=False)[1], np.int64)


def _fault(found: Grouping, folds: int) -> str | None:
    """Say why these groups make no folds."""
    sizes_G = np.bincount(found.groups_N)
    if len(sizes_G) < folds:
        return f"{len(found.groups_N)} chips are {len(sizes_G)} groups, fewer than the {folds} folds"
    if sizes_G.max() > MOST * len(found.groups_N) and sizes_G.max() > 1:
        return f"{sizes_G.max()} of {len(found.groups_N)} chips are one group"
    return None
