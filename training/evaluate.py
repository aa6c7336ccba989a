"""Stage 4: what the ensemble is worth on chips it has not seen.

The headline is cross-fitted: the networks never trained on the chip they score, and the
thresholds that decide a fold were tuned on the other folds. The in-sample number, from
thresholds tuned on the very chips, stands beside it so that the difference shows.

Shape suffixes: A architectures, N chips, L labels.
"""

import json
import logging
from typing import Literal

import numpy as np
import numpy.typing as npt

from service.bundle import Scores
from service.decision import decide
from training.dataset import open_dataset
from training.predict import OutOfFold, open_predictions
from training.scores import measure, table
from training.tune import open_thresholds, tune_ensemble
from training.workspace import Run, write_json

log = logging.getLogger(__name__)


def evaluate(run: Run) -> Scores:
    """Write both scores and return the cross-fitted one."""
    found = open_predictions(run)
    labels = open_dataset(run).labels
    tuned = open_thresholds(run)
    in_sample_NL = decide(found.probs_ANL, tuned.thresholds_AL, tuned.quorum).labels_BL
    fittings: dict[Literal["cross-fitted", "in-sample"], npt.NDArray[np.bool_]] = {
        "cross-fitted": cross_fitted_labels(run, found),
        "in-sample": in_sample_NL,
    }
    probs_NL = found.probs_ANL.mean(axis=0)
    scores = {
        fitting: measure(labels_NL, probs_NL, found.targets_NL, labels, fitting=fitting)
        for fitting, labels_NL in fittings.items()
    }
    write_json(run.folder / "evaluation.json", {name: s.model_dump() for name, s in scores.items()})
    log.info("%s", table(scores["cross-fitted"]))
    return scores["cross-fitted"]


def cross_fitted_labels(run: Run, found: OutOfFold) -> npt.NDArray[np.bool_]:
    """Decide each fold with thresholds tuned on the others; return label sets (N,L)."""
    labels_NL = np.zeros_like(found.targets_NL)
    for fold in range(run.config.folds):
        held_out_N = found.folds_N == fold
        tuned = tune_ensemble(found.probs_ANL[:, ~held_out_N], found.targets_NL[~held_out_N], run.config)
        decision = decide(found.probs_ANL[:, held_out_N], tuned.thresholds_AL, tuned.quorum)
        labels_NL[held_out_N] = decision.labels_BL
    return labels_NL


def open_scores(run: Run) -> dict[str, Scores]:
    """Read what `evaluate` wrote."""
    facts = json.loads(run.need("evaluation.json", "evaluate").read_text())
    return {fitting: Scores.model_validate(value) for fitting, value in facts.items()}
