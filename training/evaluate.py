"""Stage 4: what the ensemble is worth on chips it has not seen.

The headline is cross-fitted: the networks never trained on the chip they score, and the
thresholds that decide a fold were tuned on the other folds. The in-sample number, from
thresholds tuned on the very chips, stands beside it so that the difference shows.
"""

import logging

from service.bundle import Scores
from training.dataset import open_dataset
from training.results import read_predictions, read_voting, write_scores
from training.scores import measure, table
from training.voting import cross_fitted_labels
from training.workspace import Run

log = logging.getLogger(__name__)


def evaluate(run: Run) -> Scores:
    """Write both scores and return the cross-fitted one."""
    found = read_predictions(run)
    labels = open_dataset(run).labels
    probs_NL = found.probs_ANL.mean(axis=0)
    cross_fitted = measure(
        cross_fitted_labels(found, run.config), probs_NL, found.targets_NL, labels, fitting="cross-fitted"
    )
    in_sample = measure(
        read_voting(run).labels(found), probs_NL, found.targets_NL, labels, fitting="in-sample"
    )
    write_scores(run, {"cross-fitted": cross_fitted, "in-sample": in_sample})
    log.info("%s", table(cross_fitted))
    return cross_fitted
