"""Stage 3: thresholds of every architecture and the quorum, from out-of-fold probabilities only."""

import logging

from training.results import read_predictions, write_voting
from training.thresholds import sample_fbeta
from training.voting import tune_voting
from training.workspace import Run

log = logging.getLogger(__name__)


def tune(run: Run) -> None:
    """Write the thresholds."""
    found = read_predictions(run)
    voting = tune_voting(found, run.config)
    write_voting(run, voting)
    score = sample_fbeta(voting.labels(found), found.targets_NL, run.config.decision.beta).mean()
    log.info("thresholds tuned; F%g %.4f on the chips they were tuned on", run.config.decision.beta, score)
