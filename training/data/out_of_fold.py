"""Out-of-fold probabilities: what networks say of chips they were not trained on, and their file.

Shape suffixes: A architectures, N chips, L labels.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from service.contract.files import atomic_write
from training.run.files import undamaged
from training.run.folder import OUT_OF_FOLD, Run

_STORED = {"label_mask_AL": "speaks_AL"}  # names that files keep: finished runs and bundles have them


@dataclass(frozen=True)
class OutOfFold:
    """Probabilities of one network per architecture for every chip, none trained on that chip."""

    probs_ANL: npt.NDArray[np.float32]
    targets_NL: npt.NDArray[np.bool_]
    folds_N: npt.NDArray[np.int64]
    # Which architecture has a say on which label; left out, all on all.
    label_mask_AL: npt.NDArray[np.bool_] = field(default_factory=lambda: np.empty((0, 0), np.bool_))

    def __post_init__(self) -> None:
        """Give every architecture a say on every label unless told otherwise.

        Raises:
            ValueError: on some label nobody has a say.
        """
        if not self.label_mask_AL.size:
            shape = (len(self.probs_ANL), self.probs_ANL.shape[2])
            object.__setattr__(self, "label_mask_AL", np.ones(shape, np.bool_))
        silent = np.flatnonzero(~self.label_mask_AL.any(axis=0)).tolist()
        if silent:
            raise ValueError(f"no member has a say on the labels in columns {silent}; add one that has")

    def stored(self) -> dict[str, Any]:
        """Return the arrays by their names in files, of runs and of bundles."""
        return {_STORED.get(field.name, field.name): getattr(self, field.name) for field in fields(self)}

    @classmethod
    def restored(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> "OutOfFold":
        """Return what `stored` gave.

        Raises:
            KeyError: an array is of no such name.
            TypeError: an array is missing.
        """
        names = {_STORED.get(field.name, field.name): field.name for field in fields(cls)}
        return cls(**{names[stored]: array for stored, array in arrays.items()})

    def part(self, chosen_N: npt.NDArray[np.bool_]) -> "OutOfFold":
        """Return the chosen chips."""
        return OutOfFold(
            self.probs_ANL[:, chosen_N], self.targets_NL[chosen_N], self.folds_N[chosen_N], self.label_mask_AL
        )


def write_predictions(run: Run, found: OutOfFold) -> None:
    """Keep the result of `predict`."""
    with atomic_write(run.folder / OUT_OF_FOLD) as partial:
        np.savez(partial, **found.stored())


def read_predictions(run: Run) -> OutOfFold:
    """Return the result of `predict`."""
    with undamaged(run.need(OUT_OF_FOLD, "predict")) as path, np.load(path, allow_pickle=False) as arrays:
        return OutOfFold.restored(arrays)
