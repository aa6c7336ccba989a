"""What the stages leave for each other, as files of the run's folder.

Shape suffixes: A architectures, N chips, L labels.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter

from service.bundle import Fitting, Scores
from service.decision import Decision
from service.rules import Rule
from training.voting import OutOfFold, Voting
from training.workspace import Run, undamaged, whole_file, write_json

OUT_OF_FOLD, DECISION, DECISIONS = "out_of_fold.npz", "decision.json", "decisions.npz"
EVALUATION = "evaluation.json"
REPORT, SHIPPED_REPORT = "report.html", "report-without-chips.html"
_RULE: TypeAdapter[Rule] = TypeAdapter(Rule)


def write_predictions(run: Run, found: OutOfFold) -> None:
    """Keep the result of `predict`."""
    with whole_file(run.folder / OUT_OF_FOLD) as partial:
        np.savez(partial, **asdict(found))


def read_predictions(run: Run) -> OutOfFold:
    """Return the result of `predict`."""
    with undamaged(run.need(OUT_OF_FOLD, "predict")) as path, np.load(path, allow_pickle=False) as arrays:
        return OutOfFold(**arrays)


def write_voting(run: Run, voting: Voting) -> None:
    """Keep the result of `tune`; numbers survive JSON exactly."""
    write_json(run.folder / DECISION, voting.rule.model_dump(mode="json"))


def read_voting(run: Run) -> Voting:
    """Return the result of `tune`."""
    with undamaged(run.need(DECISION, "tune")) as path:
        return Voting(_RULE.validate_json(path.read_bytes()))


def write_decisions(run: Run, decision: Decision) -> None:
    """Keep each chip's cross-fitted label set and the probabilities shown with it."""
    with whole_file(run.folder / DECISIONS) as partial:
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
