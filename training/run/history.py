"""The figures that fits keep, `fits/<member>/fold<k>.csv`, one row per epoch.

Shape suffixes: E epochs.
"""

import csv
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt

from training.run.files import write_csv
from training.run.folder import Run

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Epoch:
    """One epoch of a fit."""

    epoch: int  # from 1
    loss: float  # mean over the steps
    learning_rate: float  # the head's, in the last step
    images_per_s: float
    data_share: float  # of the epoch's time, in which the loop waited for its next batch


def read_epochs(path: Path) -> list[Epoch]:
    """Return the rows written so far, none for a fit that has not begun.

    Raises:
        ValueError: the file has no rows, or lacks a column.
    """
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    missing = sorted({field.name for field in fields(Epoch)} - set(rows[0] if rows else ()))
    if missing:
        raise ValueError(f"{path}: has no {', '.join(missing)}; remove the file or fit again")
    return [
        Epoch(int(row["epoch"]), *(float(row[field.name]) for field in fields(Epoch)[1:])) for row in rows
    ]


def write_epochs(path: Path, epochs: list[Epoch]) -> None:
    """Write all rows, so that the file is either whole or as it was."""
    rows = (
        [number if isinstance(number, int) else f"{number:.6g}" for number in astuple(epoch)]
        for epoch in epochs
    )
    write_csv(path, [field.name for field in fields(Epoch)], rows)


@dataclass(frozen=True)
class FitLog:
    """One fit's figures by column, a value per epoch (E,); see `Epoch`."""

    epoch: Floats
    loss: Floats
    learning_rate: Floats
    images_per_s: Floats
    data_share: Floats


def read_logs(run: Run) -> dict[str, dict[int, FitLog]]:
    """Return the figures by member and fold, leaving out fits that kept none."""
    logs: dict[str, dict[int, FitLog]] = {}
    for member in run.config.members:
        for fold in range(run.config.folds):
            epochs = read_epochs(run.epochs_path(member.name, fold))
            if epochs:
                columns = np.array([astuple(epoch) for epoch in epochs], np.float64).T
                logs.setdefault(member.name, {})[fold] = FitLog(*columns)
    return logs
