"""What the service says: how a vote, a bundle or an error becomes an answer.

The answers' shapes are in `schemas.py`.
"""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

from service.client.schemas import Answer, Failure, LabelCard, Labels, Model, Prediction, Problem
from service.contract.bundle import Bundle
from service.contract.errors import ServiceError
from service.contract.manifest import Manifest, Precision
from service.engine.ensemble import Ensemble
from service.engine.verdict import Verdict

_GENERIC = "the service failed on this request; its log says why"


class PassedOver(BaseModel):
    """A way to run the bundle that did not give its golden answers on this machine."""

    device: str
    precision: Precision
    reason: str


class ModelCard(Manifest):
    """The manifest, and how it is being run."""

    device: str
    precision: Precision
    passed_over: tuple[PassedOver, ...]


def answer(bundle: Bundle, results: Sequence[Prediction | Failure]) -> Answer:
    """Answer a whole request."""
    return Answer(model=model(bundle), predictions=list(results))


def model(bundle: Bundle) -> Model:
    """Name a bundle."""
    return Model(name=bundle.manifest.name, version=bundle.manifest.version)


def prediction(
    filename: str | None, vote: Verdict, bundle: Bundle, *, members: bool = False, evidence: bool = False
) -> Prediction:
    """Put a vote into words, if wanted with each member's probabilities and the evidence."""
    rows = list(zip(bundle.label_names, vote.probabilities, vote.votes, vote.predicted, strict=True))
    answer = Prediction(
        filename=filename,
        labels=[label for label, _, _, predicted in rows if predicted],
        scores=[
            {"label": label, "probability": probability, "votes": votes, "predicted": predicted}
            for label, probability, votes, predicted in rows
        ],
        members=vote.members,
    )
    if vote.blank is not None:
        answer["nodata_share"] = vote.blank
    if vote.warnings:
        answer["warnings"] = vote.warnings
    if members:
        for score, probabilities in zip(answer["scores"], vote.member_probabilities, strict=True):
            score["members"] = probabilities
    if evidence:
        for score, grid in zip(answer["scores"], vote.evidence, strict=True):
            if grid is not None:
                score["evidence"] = grid
    return answer


def problem(error: ServiceError) -> Problem:
    """Describe an error to a client; what is not the client's business stays in the log."""
    detail = _GENERIC if error.status == 500 else error.detail
    return Problem(type="about:blank", title=error.title, status=error.status, detail=detail)


def failure(filename: str | None, error: ServiceError) -> Failure:
    """Report one chip's error."""
    return Failure(filename=filename, error=problem(error))


def labels(bundle: Bundle) -> Labels:
    """Describe the labels; F2 is None where the bundle's scores have no such label."""
    manifest = bundle.manifest
    rule = manifest.decision
    f2 = {score.label: score.f2 for score in manifest.scores.labels}
    cards = [
        LabelCard(
            name=label.name,
            group=label.group,
            prevalence=label.prevalence,
            thresholds=rule.label_thresholds(index),
            weights=rule.label_weights(index),
            quorum=rule.label_quorum(index),
            f2=f2.get(label.name),
        )
        for index, label in enumerate(manifest.labels)
    ]
    return Labels(model=model(bundle), rule=rule.rule, labels=cards)


def model_card(bundle: Bundle, ensemble: Ensemble) -> dict[str, Any]:
    """Return the `ModelCard` of a bundle that runs."""
    here = f"{bundle.folder}/"  # of this machine, and nobody else's business
    passed_over = [
        {**rung._asdict(), "reason": reason.replace(here, "")}
        for rung, reason in ensemble.passed_over.items()
    ]
    how = {"device": ensemble.device, "precision": ensemble.precision, "passed_over": passed_over}
    return {**how, **bundle.manifest.model_dump(mode="json")}
