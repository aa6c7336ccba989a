"""The run as one page: scores with intervals, figures, the worst errors, chips with their labels.

Reads what the earlier stages left and tunes nothing. The page needs no other file, no address
and no script. Its label sets are the cross-fitted ones, except where it says otherwise.

Shape suffixes: A architectures, N chips, L labels.
"""

import json
import logging
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from service.contract.files import atomic_write
from service.contract.manifest import Interval, LabelScore
from service.contract.rules import Cooccurrence, Vote
from training.data.dataset import Dataset, open_dataset
from training.data.out_of_fold import OutOfFold, read_predictions
from training.data.pictures import data_uri
from training.decision.fbeta import sample_fbeta
from training.decision.rule import read_rule
from training.evaluation.evaluate import read_decisions, read_scores
from training.report import figures
from training.report.diagnostics import (
    Reliability,
    cooccurrence,
    operating_point,
    precision_by_recall,
    reliability,
    sample_of_every_label,
    vote_margins,
    worst_chips,
)
from training.run.folder import DECISION, EVALUATION, OUT_OF_FOLD, REPORT, SHIPPED_REPORT, Run
from training.run.history import read_logs

log = logging.getLogger(__name__)

TEMPLATE = Path(__file__).with_name("report.html.jinja")
STYLE = Path(__file__).with_name("style.css.jinja")
WORST = 28
PER_LABEL = 8  # chips of each label on the contact sheet


@dataclass(frozen=True)
class _Findings:
    """Everything the sections draw from."""

    run: Run
    dataset: Dataset
    found: OutOfFold
    probs_NL: npt.NDArray[np.float32]
    predicted_NL: npt.NDArray[np.bool_]  # cross-fitted
    thresholds_AL: npt.NDArray[np.float32] | None
    quorum: int | None  # None: the rule is not a plain count of votes


class _Row(NamedTuple):
    """One label of the first table."""

    score: LabelScore
    group: str
    bins: Reliability


def report(run: Run) -> Path:
    """Write `report.html` to the run's folder and return its path.

    A second page without pictures of chips is for the bundle: who may have a model may not
    have its data.

    Raises:
        ValueError: a stage before it is missing or older than what it was made from.
    """
    evaluation = run.need(EVALUATION, "evaluate")
    if not run.is_fresh(evaluation, [run.need(OUT_OF_FOLD, "predict"), run.need(DECISION, "tune")]):
        raise ValueError(f"{evaluation}: older than the thresholds; run `chipvote-train evaluate` again")
    facts = _findings(run)
    template = environment().from_string(TEMPLATE.read_text(encoding="utf-8"))
    context = _context(facts)
    for name, pictures in ((SHIPPED_REPORT, False), (REPORT, True)):
        path = run.folder / name
        with atomic_write(path) as partial:
            partial.write_text(template.render(context, pictures=pictures), encoding="utf-8")
    log.info("%s: %.1f MB", path, path.stat().st_size / 1e6)
    return path


def _findings(run: Run) -> _Findings:
    found = read_predictions(run)
    thresholds_AL, quorum = _plain_vote(run)
    predicted_NL, probs_NL = read_decisions(run)
    return _Findings(
        run=run,
        dataset=open_dataset(run),
        found=found,
        probs_NL=probs_NL.astype(np.float32),
        predicted_NL=predicted_NL,
        thresholds_AL=thresholds_AL,
        quorum=quorum,
    )


def _plain_vote(run: Run) -> tuple[npt.NDArray[np.float32] | None, int | None]:
    """Return the members' thresholds if it is a vote, and the quorum if that is the whole rule."""
    rule = read_rule(run).rule
    if not isinstance(rule, Vote):
        return None, None
    plain = rule.cooccurrence == Cooccurrence() and set(chain.from_iterable(rule.weights)) == {1}
    return np.array(rule.thresholds, np.float32), rule.quorum[0] if plain else None


def environment() -> jinja2.Environment:
    """Return what fills the pages' templates."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["score"] = _score
    environment.filters["interval"] = _interval
    return environment


def _score(value: float | None) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:.3f}"


def _interval(interval: Interval | None) -> str:
    return "{:.3f} to {:.3f}".format(*interval) if interval else ""


def _context(facts: _Findings) -> dict[str, Any]:
    run, dataset, targets_NL = facts.run, facts.dataset, facts.dataset.targets_NL
    worst = worst_chips(facts.predicted_NL, facts.probs_NL, targets_NL, WORST)
    sheet = sample_of_every_label(targets_NL, PER_LABEL, run.config.seed)
    evaluated = datetime.fromtimestamp((run.folder / EVALUATION).stat().st_mtime, UTC)
    return {
        "style": Markup(STYLE.read_text(encoding="utf-8")),
        "config": run.config,
        "settings": json.dumps(run.config.to_json(), indent=1, ensure_ascii=False),
        "title": dataset.title,
        "digest": dataset.digest,
        "evaluated": f"{evaluated:%Y-%m-%d}",
        "chips": len(dataset),
        "grouping": dataset.grouping.sentence(dataset.apart),
        "blank": dataset.blank.sentence(len(dataset)) if dataset.blank else "",
        "grouped": bool(dataset.grouping.joined),
        **_scores(facts),
        **_decisions(facts),
        **_pairs(facts),
        **_training(run),
        "worst": [_chip(facts, chip) for chip in worst],
        "wrong_chips": int((facts.predicted_NL != targets_NL).any(axis=1).sum()),
        "sheet": [_chip(facts, chip) for chip in sheet],
        "per_label": PER_LABEL,
    }


def _scores(facts: _Findings) -> dict[str, Any]:
    """Return the scores with their intervals, and the calibration."""
    dataset = facts.dataset
    scores = read_scores(facts.run)
    headline = scores["cross-fitted"]
    columns = zip(facts.probs_NL.T, dataset.targets_NL.T, strict=True)
    bins = [reliability(probs_N, targets_N) for probs_N, targets_N in columns]
    rows = [_Row(*row) for row in zip(headline.labels, dataset.groups, bins, strict=True)]
    seen = [row for row in rows if row.score.positives]
    lowest = [row.score.f2_interval[0] if row.score.f2_interval else row.score.f2 for row in seen]
    return {
        "scores": headline,
        "in_sample": scores["in-sample"],
        "rows": rows,
        "scale_from": min(0.9, math.floor(10 * min(lowest)) / 10),
        "worst_label": min(seen, key=lambda row: row.score.f2),
        **_calibration(dict(zip(dataset.labels, bins, strict=True))),
    }


def _calibration(bins: dict[str, Reliability]) -> dict[str, Any]:
    """Draw the reliability curves."""
    errors = {label: found.expected_error for label, found in bins.items()}
    best, worst = min(errors, key=errors.__getitem__), max(errors, key=errors.__getitem__)
    description = (
        f"Reliability curves of {len(bins)} labels; the expected calibration error goes from "
        f"{errors[best]:.3f} ({best}) to {errors[worst]:.3f} ({worst})."
    )
    return {
        "reliability": figures.reliability_panels(bins, description),
        "calibration": float(np.mean(list(errors.values()))),
    }


def _decisions(facts: _Findings) -> dict[str, Any]:
    """Draw the curves with what the thresholds chose, and the votes' margins."""
    targets_NL = facts.dataset.targets_NL
    panels = {}
    for column, label in enumerate(facts.dataset.labels):
        targets_N = targets_NL[:, column]
        if not targets_N.any():
            continue
        probs_AN = facts.found.probs_ANL[:, :, column]
        thresholds_A = [] if facts.thresholds_AL is None else facts.thresholds_AL[:, column].tolist()
        panels[label] = figures.LabelCurves(
            mean=precision_by_recall(facts.probs_NL[:, column], targets_N),
            decision=operating_point(facts.predicted_NL[:, column], targets_N),
            members=[precision_by_recall(probs_N, targets_N) for probs_N in probs_AN],
            thresholds=[
                operating_point(probs_N >= threshold, targets_N)
                for probs_N, threshold in zip(probs_AN, thresholds_A, strict=False)
            ],
        )
    margins = None
    if facts.thresholds_AL is not None and facts.quorum is not None:
        counted = vote_margins(facts.found.probs_ANL, facts.thresholds_AL, facts.quorum, targets_NL)
        shares = ", ".join(
            f"{votes:+d}: {wrong:,} of {right + wrong:,}"
            for votes, right, wrong in zip(counted.votes_K, counted.right_K, counted.wrong_K, strict=True)
        )
        margins = figures.vote_margins(counted, f"Wrong decisions by votes from tipping: {shares}.")
    return {
        "precision_recall": figures.precision_recall_panels(
            panels, "Precision over recall of every label; the table of labels has the numbers."
        ),
        "has_thresholds": facts.thresholds_AL is not None,
        "margins": margins,
        "quorum": facts.quorum,
    }


def _pairs(facts: _Findings) -> dict[str, Any]:
    """Return which labels share chips, in truth and how the label sets differ from it."""
    truth_LL = cooccurrence(facts.dataset.targets_NL)
    change_LL = cooccurrence(facts.predicted_NL) - truth_LL
    return {"pairs": [("truth", truth_LL.tolist()), ("predicted minus truth", change_LL.tolist())]}


def _chip(facts: _Findings, chip: int) -> dict[str, Any]:
    """Return one chip's picture, F2 and labels: those it has first, then the false ones."""
    targets_L, predicted_L = facts.dataset.targets_NL[chip], facts.predicted_NL[chip]
    kinds = {(True, True): "correct", (True, False): "missed", (False, True): "false"}
    labels = [
        {"name": label, "kind": kinds[bool(target), bool(predicted)], "prob": float(prob)}
        for label, target, predicted, prob in zip(
            facts.dataset.labels, targets_L, predicted_L, facts.probs_NL[chip], strict=True
        )
        if target or predicted
    ]
    return {
        "name": facts.dataset.names[chip],
        "picture": data_uri(facts.dataset.chips_NHWC[chip], facts.run.config.bands),
        "f2": float(sample_fbeta(predicted_L[None], targets_L[None])[0]),
        "labels": sorted(labels, key=lambda label: list(kinds.values()).index(str(label["kind"]))),
    }


def _training(run: Run) -> dict[str, Any]:
    """Draw the fits' logs, if they were kept."""
    logs = read_logs(run)
    speeds = [
        {
            "member": member,
            "fits": len(folds),
            "epochs": max(len(log.epoch) for log in folds.values()),
            "loss": float(np.mean([log.loss[-1] for log in folds.values()])),
            "images_per_s": float(np.median(np.concatenate([log.images_per_s for log in folds.values()]))),
            "data_share": float(np.median(np.concatenate([log.data_share for log in folds.values()]))),
        }
        for member, folds in logs.items()
    ]
    drawn = figures.training_curves(logs, "Training loss and learning rate by epoch.") if logs else None
    return {"training": drawn, "speeds": speeds}
