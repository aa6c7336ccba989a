"""The benchmarks' real data: in CHIPVOTE_DATA, or in shared/data beside the repository.

Shape suffixes: A architectures, N chips, L labels.
"""

import csv
import gzip
import os
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

BESIDE = Path(__file__).parents[3] / "shared" / "data"


class Predictions(NamedTuple):
    """Probabilities of networks that had not seen the chips."""

    probs_ANL: npt.NDArray[np.float32]
    targets_NL: npt.NDArray[np.bool_]
    folds_N: npt.NDArray[np.int64]

    def part(self, chosen_N: npt.NDArray[np.int64]) -> "Predictions":
        """Return the chosen chips."""
        return Predictions(self.probs_ANL[:, chosen_N], self.targets_NL[chosen_N], self.folds_N[chosen_N])

    def member(self, index: int) -> "Predictions":
        """Return one architecture's."""
        return self._replace(probs_ANL=self.probs_ANL[index : index + 1])


def data_folder(name: str) -> Path:
    """Return a folder of real data; without it, say so and end the script as skipped."""
    folder = Path(os.environ.get("CHIPVOTE_DATA", BESIDE)) / name
    if not folder.is_dir():
        print(f"skipped: no real data in {folder}; set CHIPVOTE_DATA to the folder that holds {name}/")
        sys.exit(0)
    return folder


def planet_predictions() -> Predictions:
    """Return held-out probabilities of models a and b on the same 6,000 Planet chips (5 folds)."""
    tables = []
    for model in ("a", "b"):
        path = data_folder("predictions") / f"model_{model}_6000.csv.gz"
        with gzip.open(path, "rt", newline="") as stream:
            _, *rows = csv.reader(stream)
        tables.append(np.array([row[1:] for row in rows], np.float32))
    probs_ANL, truth_ANL = np.split(np.stack(tables), 2, axis=2)
    assert (truth_ANL[0] == truth_ANL[1]).all(), "the models' chips differ"
    return Predictions(probs_ANL.copy(), truth_ANL[0] > 0.5, np.arange(len(truth_ANL[0])) % 5)


def run_predictions(folder: Path) -> Predictions:
    """Return the out-of-fold probabilities of a training run."""
    with np.load(folder / "out_of_fold.npz", allow_pickle=False) as arrays:
        return Predictions(*(arrays[name] for name in Predictions._fields))
