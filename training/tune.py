"""Stage 3: thresholds of every architecture and the quorum, from out-of-fold probabilities only.

All fold networks of an architecture share its thresholds: each chip was scored by the one
that had not seen it, and pooling the folds gives a rare label five times the examples.

Shape suffixes: A architectures, N chips, L labels.
"""

import json
import logging
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from service.decision import decide, strict_majority
from training.config import RunConfig
from training.predict import open_predictions
from training.thresholds import sample_fbeta, tune
from training.workspace import Run, write_json

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tuned:
    """The tuned decision, one row of thresholds per architecture."""

    thresholds_AL: npt.NDArray[np.float32]
    quorum: int


def tune_ensemble(
    probs_ANL: npt.NDArray[np.float32], targets_NL: npt.NDArray[np.bool_], config: RunConfig
) -> Tuned:
    """Tune each architecture for itself; the vote is a strict majority."""
    thresholds_AL = np.stack(
        [
            tune(
                probs_NL,
                targets_NL,
                beta=config.beta,
                prior=config.prior_threshold,
                shrinkage=config.shrinkage,
            )
            for probs_NL in probs_ANL
        ]
    )
    return Tuned(thresholds_AL, strict_majority(len(probs_ANL)))


def tune_run(run: Run) -> None:
    """Write the thresholds."""
    found = open_predictions(run)
    tuned = tune_ensemble(found.probs_ANL, found.targets_NL, run.config)
    write_json(
        run.folder / "thresholds.json",
        {"thresholds": tuned.thresholds_AL.astype(float).tolist(), "quorum": tuned.quorum},
    )
    labels_NL = decide(found.probs_ANL, tuned.thresholds_AL, tuned.quorum).labels_BL
    score = sample_fbeta(labels_NL, found.targets_NL, run.config.beta).mean()
    log.info("thresholds tuned; F%g %.4f on the chips they were tuned on", run.config.beta, score)


def open_thresholds(run: Run) -> Tuned:
    """Read what `tune_run` wrote."""
    facts = json.loads(run.need("thresholds.json", "tune").read_text())
    return Tuned(np.array(facts["thresholds"], np.float32), facts["quorum"])
