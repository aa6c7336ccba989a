"""Stage 4: what the ensemble is worth on chips it has not seen.

The headline is cross-fitted: the networks never trained on the chip they score, and the
rule that decides a fold was tuned on the other folds. The in-sample number, from the rule
tuned on the very chips, stands beside it so that the difference shows. The headline has intervals.
"""

import logging

from service.bundle import Fitting, Scores
from service.decision import Decision
from training.bootstrap import Intervals, intervals
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
    unseen = decisions["cross-fitted"]
    bounds = intervals(
        unseen.labels_BL, unseen.probabilities_BL, found.targets_NL, dataset.groups, run.config.seed
    )
    headline = _with(bounds, scores["cross-fitted"])
    write_decisions(run, unseen)
    write_scores(run, {**scores, "cross-fitted": headline})
    log.info("%s", table(headline))
    return headline


def _with(bounds: Intervals, scores: Scores) -> Scores:
    """Return the scores with their intervals."""
    rows = tuple(
        row.model_copy(update={"f2_interval": f2, "average_precision_interval": average_precision})
        for row, f2, average_precision in zip(scores.labels, bounds.f2, bounds.average_precision, strict=True)
    )
    return scores.model_copy(
        update={
            "sample_f2_interval": bounds.sample_f2,
            "macro_f2_interval": bounds.macro_f2,
            "mean_average_precision_interval": bounds.mean_average_precision,
            "group_f2_intervals": bounds.group_f2,
            "labels": rows,
        }
    )
