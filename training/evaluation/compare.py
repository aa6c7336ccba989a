"""Two runs on the same chips and folds → the difference in F2, chip by chip, with its interval.

Both are decided cross-fitted, so neither is scored on what tuned it. Pairing the chips takes
out what is common to both, and that is most of the noise.

Shape suffixes: N chips, L labels.
"""

import logging
from typing import NamedTuple

import numpy as np

from training.data.dataset import open_dataset
from training.data.out_of_fold import read_predictions
from training.decision.fbeta import sample_fbeta
from training.decision.rule import cross_fitted
from training.evaluation.bootstrap import paired_difference
from training.evaluation.metrics import measure
from training.run.folder import Run

log = logging.getLogger(__name__)


class Difference(NamedTuple):
    """How much better the second run is, with a 95 % bootstrap interval over chips."""

    mean: float
    low: float
    high: float


def compare(first: Run, second: Run) -> Difference:
    """Print both scores and return the paired difference in sample F2, second minus first.

    Raises:
        ValueError: the runs differ in chips, labels or folds.
    """
    runs = (first, second)
    datasets = [open_dataset(run) for run in runs]
    found = [read_predictions(run) for run in runs]
    if datasets[0].names != datasets[1].names or datasets[0].labels != datasets[1].labels:
        raise ValueError(
            f"{second.folder}: has other chips or labels than {first.folder}; train both on the same"
        )
    if (found[0].folds_N != found[1].folds_N).any():
        raise ValueError(
            f"{second.folder}: has other folds than {first.folder}; use one seed and number of folds"
        )
    targets_NL = found[0].targets_NL
    decided = [cross_fitted(part, run.config) for part, run in zip(found, runs, strict=True)]
    f2 = [sample_fbeta(decision.labels_BL, targets_NL) for decision in decided]
    for run, decision in zip(runs, decided, strict=True):
        scores = measure(
            decision.labels_BL,
            decision.probabilities_BL,
            targets_NL,
            datasets[0].labels,
            datasets[0].groups,
            fitting="cross-fitted",
        )
        log.info(
            "%s: sample F2 %.4f, macro F2 %.4f, mAP %.4f",
            run.folder,
            scores.sample_f2,
            scores.macro_f2,
            scores.mean_average_precision,
        )
    difference = Difference(
        *paired_difference(f2[1], f2[0], seed=first.config.seed, drawn_with_N=datasets[0].grouping.groups_N)
    )
    verdict = "decided" if difference.low > 0 or difference.high < 0 else "not decided by these chips"
    changed = int(np.any(decided[0].labels_BL != decided[1].labels_BL, axis=1).sum())
    log.info(
        "F2 %+.4f (95 %% interval %+.4f … %+.4f): %s; %d of %d chips get other labels",
        *difference,
        verdict,
        changed,
        len(targets_NL),
    )
    return difference
