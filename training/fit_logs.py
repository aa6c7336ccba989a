"""The logs that fits keep, `fits/<member>/fold<k>.csv`, one row per epoch."""

import csv
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt

from training.workspace import Run

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class FitLog:
    """One fit's log, a value per epoch; the names are the file's columns."""

    epoch: Floats
    loss: Floats
    learning_rate: Floats
    images_per_s: Floats
    data_share: Floats  # of the time, spent waiting for chips


def read_logs(run: Run) -> dict[str, dict[int, FitLog]]:
    """Return the logs by member and fold, leaving out those that were not kept.

    Raises:
        ValueError: a log has no rows, or lacks a column.
    """
    logs: dict[str, dict[int, FitLog]] = {}
    for member in run.config.members:
        for fold in range(run.config.folds):
            path = run.fit_path(member.name, fold).with_suffix(".csv")
            if path.exists():
                logs.setdefault(member.name, {})[fold] = _read(path)
    return logs


def _read(path: Path) -> FitLog:
    names = [field.name for field in fields(FitLog)]
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    missing = sorted(set(names) - set(rows[0] if rows else ()))
    if missing:
        raise ValueError(f"{path}: has no {', '.join(missing)}; remove the file or fit again")
    return FitLog(**{name: np.array([float(row[name]) for row in rows]) for name in names})
