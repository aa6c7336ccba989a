"""Stage 4: what the ensemble is worth on chips it has not seen.

The headline is cross-fitted: the networks never trained on the chip they score, and the
rule that decides a fold was tuned on the other folds. The in-sample number, from the rule
tuned on the very chips, stands beside it so that the difference shows. The headline has intervals.
"""

import json
import logging
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from service.contract.decision import Decision
from service.contract.files import atomic_write
from service.contract.manifest import Fitting, Scores
from training.data.dataset import open_dataset
from training.data.out_of_fold import read_predictions
from training.decision.rule import cross_fitted, read_rule
from training.evaluation.bootstrap import Intervals, intervals
from training.evaluation.metrics import measure, table
from training.run.files import undamaged, write_json
from training.run.folder import DECISIONS, EVALUATION, Run

log = logging.getLogger(__name__)


def evaluate(run: Run) -> Scores:
    """Write both scores and return the cross-fitted one."""
    found = read_predictions(run)
    dataset = open_dataset(run)
    decisions: dict[Fitting, Decision] = {
        "cross-fitted": cross_fitted(found, run.config),
        "in-sample": read_rule(run).decide(found),
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
        unseen.labels_BL,
        unseen.probabilities_BL,
        found.targets_NL,
        dataset.groups,
        run.config.seed,
        drawn_with_N=dataset.grouping.groups_N,
    )
    headline = _with(bounds, scores["cross-fitted"])
    write_decisions(run, unseen)
    write_scores(run, {**scores, "cross-fitted": headline})
    log.info("%s", table(headline))
    log.info("%s", dataset.grouping.sentence(dataset.apart))
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


def write_decisions(run: Run, decision: Decision) -> None:
    """Keep each chip's cross-fitted label set and the probabilities shown with it."""
    with atomic_write(run.folder / DECISIONS) as partial:
        np.savez(partial, labels_NL=decision.labels_BL, probs_NL=decision.probabilities_BL)


def read_decisions(run: Run) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64]]:
    """Return the cross-fitted label sets (N,L) and probabilities (N,L) that `evaluate` kept."""
    with undamaged(run.need(DECISIONS, "evaluate")) as path, np.load(path, allow_pickle=False) as arrays:
        return arrays["labels_NL"], arrays["probs_NL"]


def write_scores(run: Run, scores: Mapping[Fitting, Scores]) -> None:
    """Keep the result of `evaluate`, by how it was fitted."""
    write_json(run.folder / EVALUATION, {fitting: value.model_dump() for fitting, value in scores.items()})


def read_scores(run: Run) -> dict[str, Scores]:
    """Return the result of `evaluate`."""
    with undamaged(run.need(EVALUATION, "evaluate")) as path:
        facts = json.loads(path.read_text(encoding="utf-8"))
        return {fitting: Scores.model_validate(value) for fitting, value in facts.items()}
