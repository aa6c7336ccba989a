from pydantic import TypeAdapter

from service.answers import predictions
from service.answers.predictions import ModelCard
from service.client.schemas import Answer, Failure, Labels, Prediction
from service.contract.bundle import Bundle
from service.contract.errors import NotAnImage
from service.engine.ensemble import Ensemble
from service.engine.verdict import Verdict
from tests.kit.fakes import LABELS, MEMBERS

VOTE = Verdict([0.9, 0.1, 0.6, 0.2], [3, 0, 2, 1], [True, False, True, False], 2)


def test_a_prediction_keeps_the_bundles_label_order(colours: Bundle) -> None:
    prediction = predictions.prediction("a.jpg", VOTE, colours)
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
        model=predictions.model(colours),
        predictions=[
            predictions.prediction(None, VOTE, colours),
            predictions.failure("b.txt", NotAnImage("no image")),
        ],
    )
    assert TypeAdapter(Answer).validate_python(answer, strict=True) == answer
    assert set(Prediction.__required_keys__) == set(answer["predictions"][0])
    assert set(Failure.__annotations__) == set(answer["predictions"][1])
    labels = predictions.labels(colours)
    assert TypeAdapter(Labels).validate_python(labels, strict=True) == labels
    ModelCard.model_validate(predictions.model_card(colours, Ensemble(colours, "cpu")))


def test_labels_tell_how_they_are_decided_and_measured_f2(colours: Bundle) -> None:
    found = predictions.labels(colours)
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


def test_what_shows_nothing_is_told_where_the_bundle_knows_it(colours: Bundle) -> None:
    found = predictions.prediction(None, VOTE._replace(blank=0.0), colours)
    assert found["nodata_share"] == 0
    assert TypeAdapter(Prediction).validate_python(found, strict=True) == found
