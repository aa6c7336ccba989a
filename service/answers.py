"""What the service says: the shapes of its answers, and how a vote becomes one.

Typed dictionaries: they document the API, and cost nothing to build or to serialise for
a thousand chips. The console's JSON output has the same shapes.
"""

from typing import Any, Literal, final

from typing_extensions import TypedDict  # typing's own cannot be a pydantic schema before Python 3.12

from service.bundle import Bundle, Manifest, Precision
from service.ensemble import Vote
from service.errors import ServiceError
from service.problems import Problem, problem


class Model(TypedDict):
    """Which bundle answered."""

    name: str
    version: str


class Score(TypedDict):
    """What the ensemble thinks of one label: mean probability, and members in favour."""

    label: str
    probability: float
    votes: int
    predicted: bool


@final  # so that a type checker can tell a Prediction from a Failure by its keys
class Prediction(TypedDict):
    """One chip's label set, and every label's score in the bundle's order."""

    filename: str | None
    labels: list[str]
    scores: list[Score]
    members: int


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
    """One label: prevalence in the training chips, a threshold per member, measured quality."""

    name: str
    group: str
    prevalence: float
    thresholds: list[float]
    f2: float | None


class Labels(TypedDict):
    """Every label, in the bundle's order."""

    model: Model
    quorum: int
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


def prediction(filename: str | None, vote: Vote, bundle: Bundle) -> Prediction:
    """Put a vote into words."""
    rows = list(zip(bundle.label_names, *vote, strict=True))
    return Prediction(
        filename=filename,
        labels=[label for label, _, _, predicted in rows if predicted],
        scores=[
            Score(label=label, probability=probability, votes=votes, predicted=predicted)
            for label, probability, votes, predicted in rows
        ],
        members=len(bundle.manifest.members),
    )


def failure(filename: str | None, error: ServiceError) -> Failure:
    """Report one chip's error."""
    return Failure(filename=filename, error=problem(error))


def labels(bundle: Bundle) -> Labels:
    """Describe the labels; F2 is None where the bundle's scores have no such label."""
    manifest = bundle.manifest
    f2 = {score.label: score.f2 for score in manifest.scores.labels}
    cards = [
        LabelCard(
            name=label.name,
            group=label.group,
            prevalence=label.prevalence,
            thresholds=[member.thresholds[index] for member in manifest.members],
            f2=f2.get(label.name),
        )
        for index, label in enumerate(manifest.labels)
    ]
    return Labels(model=model(bundle), quorum=manifest.quorum, labels=cards)


def model_card(bundle: Bundle, device: str, precision: Precision) -> dict[str, Any]:
    """Return the `ModelCard` of a bundle that runs."""
    return {"device": device, "precision": precision, **bundle.manifest.model_dump(mode="json")}
