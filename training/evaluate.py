"""Stage 4: what the ensemble is worth on chips it has not seen.

The headline is cross-fitted: the networks never trained on the chip they score, and the
rule that decides a fold was tuned on the other folds. The in-sample number, from the rule
tuned on the very chips, stands beside it so that the difference shows.
"""

import logging

from service.bundle import Fitting, Scores
from service.decision import Decision
from training.dataset import open_dataset
from training.results import read_predictions, read_voting, write_decisions, write_scores
from training.scores import measure, table
from training.voting import cross_fitted
from training.workspace import Run

log = logging.getLogger(__name__)


def evaluate(run: Run) -> Scores:
    """Write both scores and return the cross-fitted one."""
    found = read_predictions(run)
    dataset = open_dataset(run)
    decisions: dict[Fitting, Decision] = {
        "cross-fitted": cross_fitted(found, run.config),
        "in-sample": read_voting(run).decide(found),
    }
    scores = {
        fitting: measure(
            decision.labels_BL,
            decision.probabilities_BL,
            found.targets_NL,
            dataset.labels,
            dataset.groups,
            fitting=fitting,
        )
        for fitting, decision in decisions.items()
    }
    write_decisions(run, decisions["cross-fitted"])
    write_scores(run, scores)
    log.info("%s", table(scores["cross-fitted"]))
    return scores["cross-fitted"]
