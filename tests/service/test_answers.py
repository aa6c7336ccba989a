from pydantic import TypeAdapter

from service import answers
from service.answers import ModelCard
from service.bundle import Bundle
from service.ensemble import Ensemble, Vote
from service.errors import NotAnImage
from service.schemas import Answer, Failure, Labels, Prediction
from tests.fakes import LABELS, MEMBERS

VOTE = Vote([0.9, 0.1, 0.6, 0.2], [3, 0, 2, 1], [True, False, True, False], 2)


def test_a_prediction_keeps_the_bundles_label_order(colours: Bundle) -> None:
    prediction = answers.prediction("a.jpg", VOTE, colours)
    assert prediction["labels"] == ["reddish", "bluish"]
    assert [score["label"] for score in prediction["scores"]] == list(LABELS)
    assert prediction["scores"][2] == {
        "label": "bluish",
        "probability": 0.6,
        "votes": 2,
        "predicted": True,
    }
    assert prediction["members"] == 2


def test_answers_have_the_documented_shape(colours: Bundle) -> None:
    answer = Answer(
        model=answers.model(colours),
        predictions=[
            answers.prediction(None, VOTE, colours),
            answers.failure("b.txt", NotAnImage("no image")),
        ],
    )
    assert TypeAdapter(Answer).validate_python(answer, strict=True) == answer
    assert set(Prediction.__required_keys__) == set(answer["predictions"][0])
    assert set(Failure.__annotations__) == set(answer["predictions"][1])
    labels = answers.labels(colours)
    assert TypeAdapter(Labels).validate_python(labels, strict=True) == labels
    ModelCard.model_validate(answers.model_card(colours, Ensemble(colours, "cpu")))


def test_labels_tell_how_they_are_decided_and_measured_f2(colours: Bundle) -> None:
    found = answers.labels(colours)
    assert found["rule"] == "vote"
    first, *_, last = found["labels"]
    assert first == {
        "name": "reddish",
        "group": "colour",
        "prevalence": 0.25,
        "thresholds": [0.5] * MEMBERS,
        "weights": [1] * MEMBERS,
        "quorum": 2,
        "f2": 0.75,
    }
    assert last["f2"] is None
