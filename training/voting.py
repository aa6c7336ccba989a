"""The ensemble's decision: a row of thresholds per architecture, and a quorum.

All fold networks of an architecture share its thresholds: each chip was scored by the one
that had not seen it, and pooling the folds gives a rare label five times the examples.

Shape suffixes: A architectures, N chips, L labels.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from service.decision import decide, strict_majority
from training.config import RunConfig
from training.thresholds import tune


@dataclass(frozen=True)
class OutOfFold:
    """Probabilities of one network per architecture for every chip, none trained on that chip."""

    probs_ANL: npt.NDArray[np.float32]
    targets_NL: npt.NDArray[np.bool_]
    folds_N: npt.NDArray[np.int64]

    def part(self, chosen_N: npt.NDArray[np.bool_]) -> "OutOfFold":
        """Return the chosen chips."""
        return OutOfFold(self.probs_ANL[:, chosen_N], self.targets_NL[chosen_N], self.folds_N[chosen_N])


@dataclass(frozen=True)
class Voting:
    """A tuned decision."""

    thresholds_AL: npt.NDArray[np.float32]
    quorum: int

    def labels(self, found: OutOfFold) -> npt.NDArray[np.bool_]:
        """Return the label sets (N,L)."""
        return decide(found.probs_ANL, self.thresholds_AL, self.quorum).labels_BL


def tune_voting(found: OutOfFold, config: RunConfig) -> Voting:
    """Tune each architecture for itself; the vote is a strict majority."""
    thresholds = [
        tune(
            probs_NL,
            found.targets_NL,
            beta=config.decision.beta,
            prior=config.decision.prior,
            shrinkage=config.decision.shrinkage,
        )
        for probs_NL in found.probs_ANL
    ]
    return Voting(np.stack(thresholds), strict_majority(len(thresholds)))


def cross_fitted_labels(found: OutOfFold, config: RunConfig) -> npt.NDArray[np.bool_]:
    """Decide each fold with thresholds tuned on the others; return label sets (N,L)."""
    labels_NL = np.zeros_like(found.targets_NL)
    for fold in np.unique(found.folds_N):
        held_out_N = found.folds_N == fold
        voting = tune_voting(found.part(~held_out_N), config)
        labels_NL[held_out_N] = voting.labels(found.part(held_out_N))
    return labels_NL
