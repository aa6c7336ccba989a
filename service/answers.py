"""What the service says: the shapes of its answers, and how a vote becomes one.

Typed dictionaries: they document the API, and cost nothing to build or to serialise for
a thousand chips. The console's JSON output has the same shapes.
"""

from typing import Any, Literal, NotRequired, final

# typing's own cannot be a pydantic schema before Python 3.12
from typing_extensions import TypedDict

from service.bundle import Bundle, Manifest, Precision
from service.ensemble import Vote
from service.errors import ServiceError
from service.footprint import Geometry
from service.problems import Problem, problem


class Model(TypedDict):
    """Which bundle answered."""

    name: str
    version: str


class Score(TypedDict):
    """What the ensemble thinks of one label.

    `probability` is the weighted mean of the members that ran in a vote, the clipped score of a
    blend, the calibrated probability with expected F. `votes` is the weight of the members in
    favour among those that ran, to be compared with the label's quorum; 0 where the rule is no vote.

    Only if asked for: `members` holds each member's own probability, in the manifest's order;
    `evidence`, of a predicted label, the class activation map of the members that voted for it:
    rows from the top, in logits.
    """

    label: str
    probability: float
    votes: int
    predicted: bool
    members: NotRequired[list[float]]
    evidence: NotRequired[list[list[float]]]


@final  # so that a type checker can tell a Prediction from a Failure by its keys
class Prediction(TypedDict):
    """One chip's label set, every label's score in the bundle's order, and how many members ran.

    With early exit, `members` is how many it took until none could change the label set.
    `footprint`, if asked for, is where a GeoTIFF lies on the ground; None for other files.
    """

    filename: str | None
    labels: list[str]
    scores: list[Score]
    members: int
    footprint: NotRequired[Geometry | None]


@final
class Failure(TypedDict):
    """One chip that could not be used, beside others that could."""

    filename: str | None
    error: Problem


class Answer(TypedDict):
    """The answer to any prediction, in the order of the files."""

    model: Model
    predictions: list[Prediction | Failure]


class LabelCard(TypedDict):
    """One label: prevalence in the training chips, how it is decided, measured quality.

    A vote has a threshold and a weight per member (weight 0: no say) and a quorum; a blend one
    threshold, on its score; expected F, which compares whole label sets, weights for the mean alone.
    """

    name: str
    group: str
    prevalence: float
    thresholds: list[float]
    weights: list[int]
    quorum: int | None
    f2: float | None


class Labels(TypedDict):
    """Every label, in the bundle's order."""

    model: Model
    rule: Literal["vote", "blend", "expected-f"]
    labels: list[LabelCard]


class Health(TypedDict):
    """Which health check passed."""

    status: Literal["live", "ready"]


class ModelCard(Manifest):
    """The manifest, and how it is being run."""

    device: str
    precision: Precision


def model(bundle: Bundle) -> Model:
    """Name a bundle."""
    return Model(name=bundle.manifest.name, version=bundle.manifest.version)


def prediction(
    filename: str | None, vote: Vote, bundle: Bundle, *, members: bool = False, evidence: bool = False
) -> Prediction:
    """Put a vote into words; with each member's probabilities and the evidence if they are wanted."""
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
    if members:
        for score, probabilities in zip(answer["scores"], vote.member_probabilities, strict=True):
            score["members"] = probabilities
    if evidence:
        for score, grid in zip(answer["scores"], vote.evidence, strict=True):
            if grid is not None:
                score["evidence"] = grid
    return answer


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


def model_card(bundle: Bundle, device: str, precision: Precision) -> dict[str, Any]:
    """Return the `ModelCard` of a bundle that runs."""
    return {"device": device, "precision": precision, **bundle.manifest.model_dump(mode="json")}
