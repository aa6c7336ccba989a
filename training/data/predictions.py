"""Out-of-fold probabilities: what networks say of chips they were not trained on, and their file.

Shape suffixes: A architectures, N chips, L labels.
"""

from dataclasses import asdict, dataclass, field

import numpy as np
import numpy.typing as npt

from training.run.files import undamaged, whole_file
from training.run.folder import OUT_OF_FOLD, Run


@dataclass(frozen=True)
class OutOfFold:
    """Probabilities of one network per architecture for every chip, none trained on that chip."""

    probs_ANL: npt.NDArray[np.float32]
    targets_NL: npt.NDArray[np.bool_]
    folds_N: npt.NDArray[np.int64]
    # Which architecture has a say on which label; left out, all on all.
    speaks_AL: npt.NDArray[np.bool_] = field(default_factory=lambda: np.empty((0, 0), np.bool_))

    def __post_init__(self) -> None:
        """Let everybody speak unless told otherwise.

        Raises:
            ValueError: on some label nobody has a say.
        """
        if not self.speaks_AL.size:
            shape = (len(self.probs_ANL), self.probs_ANL.shape[2])
            object.__setattr__(self, "speaks_AL", np.ones(shape, np.bool_))
        silent = np.flatnonzero(~self.speaks_AL.any(axis=0)).tolist()
        if silent:
            raise ValueError(f"no member has a say on the labels in columns {silent}; add one that has")

    def part(self, chosen_N: npt.NDArray[np.bool_]) -> "OutOfFold":
        """Return the chosen chips."""
        return OutOfFold(
            self.probs_ANL[:, chosen_N], self.targets_NL[chosen_N], self.folds_N[chosen_N], self.speaks_AL
        )


def write_predictions(run: Run, found: OutOfFold) -> None:
    """Keep the result of `predict`."""
    with whole_file(run.folder / OUT_OF_FOLD) as partial:
        np.savez(partial, **asdict(found))


def read_predictions(run: Run) -> OutOfFold:
    """Return the result of `predict`."""
    with undamaged(run.need(OUT_OF_FOLD, "predict")) as path, np.load(path, allow_pickle=False) as arrays:
        return OutOfFold(**arrays)
