"""What the stages leave for each other, as files of the run's folder.

Shape suffixes: A architectures, N chips, L labels.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict

import numpy as np

from service.bundle import Fitting, Scores
from training.voting import OutOfFold, Voting
from training.workspace import Run, whole_file, write_json

OUT_OF_FOLD, THRESHOLDS, EVALUATION = "out_of_fold.npz", "thresholds.json", "evaluation.json"


def write_predictions(run: Run, found: OutOfFold) -> None:
    """Keep the result of `predict`."""
    with whole_file(run.folder / OUT_OF_FOLD) as partial:
        np.savez(partial, probs_ANL=found.probs_ANL, targets_NL=found.targets_NL, folds_N=found.folds_N)


def read_predictions(run: Run) -> OutOfFold:
    """Return the result of `predict`."""
    with np.load(run.need(OUT_OF_FOLD, "predict"), allow_pickle=False) as arrays:
        return OutOfFold(**arrays)


def write_voting(run: Run, voting: Voting) -> None:
    """Keep the result of `tune`; float32 values survive JSON exactly."""
    write_json(run.folder / THRESHOLDS, {**asdict(voting), "thresholds_AL": voting.thresholds_AL.tolist()})


def read_voting(run: Run) -> Voting:
    """Return the result of `tune`."""
    facts = json.loads(run.need(THRESHOLDS, "tune").read_text(encoding="utf-8"))
    return Voting(np.array(facts["thresholds_AL"], np.float32), facts["quorum"])


def write_scores(run: Run, scores: Mapping[Fitting, Scores]) -> None:
    """Keep the result of `evaluate`, by how it was fitted."""
    write_json(run.folder / EVALUATION, {fitting: value.model_dump() for fitting, value in scores.items()})


def read_scores(run: Run) -> dict[str, Scores]:
    """Return the result of `evaluate`."""
    facts = json.loads(run.need(EVALUATION, "evaluate").read_text(encoding="utf-8"))
    return {fitting: Scores.model_validate(value) for fitting, value in facts.items()}
