import httpx2

from service.contract.bundle import Bundle
from tests.kit.fakes import (
    LABELS,
    RED,
    encoded,
    picture,
)

RED_JPEG = encoded(picture(RED), "JPEG")


def test_labels(client: httpx2.Client) -> None:
    body = client.get("/labels").json()
    assert [label["name"] for label in body["labels"]] == list(LABELS)
    decided = {"thresholds", "weights", "quorum"}
    assert body["labels"][0].keys() == {"name", "group", "prevalence", "f2", *decided}
    assert (body["rule"], body["model"]["name"]) == ("vote", "colours")


def test_model_card(client: httpx2.Client, colours: Bundle) -> None:
    body = client.get("/model").json()
    assert [body.pop(key) for key in ("device", "precision", "passed_over")] == ["cpu", "float32", []]
    assert body == colours.manifest.model_dump(mode="json")
