"""Stage 4: what the ensemble is worth on chips it has not seen.

The headline is cross-fitted: the networks never trained on the chip they score, and the
thresholds that decide a fold were tuned on the other folds. The in-sample number, from
thresholds tuned on the very chips, stands beside it so that the difference shows.

Shape suffixes: N chips, L labels.
"""

import logging

import numpy as np
import numpy.typing as npt

from service.bundle import Fitting, Scores
from training.dataset import open_dataset
from training.results import read_predictions, read_voting, write_scores
from training.scores import measure, table
from training.voting import cross_fitted_labels
from training.workspace import Run

log = logging.getLogger(__name__)


def evaluate(run: Run) -> Scores:
    """Write both scores and return the cross-fitted one."""
    found = read_predictions(run)
    dataset = open_dataset(run)
    probs_NL = found.probs_ANL.mean(axis=0)
    decisions: dict[Fitting, npt.NDArray[np.bool_]] = {
        "cross-fitted": cross_fitted_labels(found, run.config),
        "in-sample": read_voting(run).labels(found),
    }
    scores = {
        fitting: measure(
            labels_NL, probs_NL, found.targets_NL, dataset.labels, dataset.groups, fitting=fitting
        )
        for fitting, labels_NL in decisions.items()
    }
    write_scores(run, scores)
    log.info("%s", table(scores["cross-fitted"]))
    return scores["cross-fitted"]
