"""The OpenAPI description is whole, and its examples are what the service could say."""

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from pydantic import TypeAdapter

from service.answers.predictions import ModelCard
from service.client.schemas import Answer, Health, Labels, Shadow, Swap
from service.server import openapi
from service.server.scenes.rows import Line

Json = dict[str, Any]


@pytest.fixture(scope="module")
def document(client: httpx2.Client) -> Json:
    described: Json = client.get("/openapi.json").json()
    return described


def operations(document: Json) -> Iterator[Json]:
    for path in document["paths"].values():
        yield from path.values()


def references(part: Any) -> Iterator[str]:  # noqa: ANN401
    if isinstance(part, dict):
        if "$ref" in part:
            yield part["$ref"]
        for inner in part.values():
            yield from references(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from references(inner)


def test_every_operation_says_what_it_is(document: Json) -> None:
    for operation in operations(document):
        for key in ("operationId", "summary", "description", "tags"):
            assert operation[key], operation
        for parameter in operation.get("parameters", []):
            assert parameter["description"]


def test_every_reference_leads_somewhere(document: Json) -> None:
    schemas = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    found = set(references(document["paths"])) | set(references(document["components"]))
    assert "#/components/schemas/Problem" in found
    assert found <= schemas


def test_every_error_is_a_problem_with_an_example(document: Json) -> None:
    for operation in operations(document):
        for status, response in operation["responses"].items():
            if status.startswith("2"):
                continue
            assert response["description"]
            content = response["content"]["application/problem+json"]
            assert content["schema"] == {"$ref": "#/components/schemas/Problem"}
            assert content["example"].keys() == {"type", "title", "status", "detail"}
            assert content["example"]["status"] == int(status)


def test_every_json_answer_has_a_schema_and_an_example(document: Json) -> None:
    for operation in operations(document):
        (done,) = (status for status in operation["responses"] if status.startswith("2"))
        content = operation["responses"][done]["content"]
        if "application/json" in content:
            assert content["application/json"]["schema"]["$ref"]
            assert content["application/json"]["example"]
        assert content


@pytest.mark.parametrize(
    ("shape", "example"),
    [
        (Answer, openapi.ANSWER),
        *((Line, line) for line in openapi.SCENE_LINES),
        (Labels, openapi.LABELS),
        (Health, openapi.LIVE),
        (Health, openapi.READY),
        (Swap, openapi.SWAP),
        (Shadow, openapi.SHADOW),
        (ModelCard, openapi.MODEL_CARD),
    ],
)
def test_an_example_has_the_documented_shape(shape: Any, example: object) -> None:  # noqa: ANN401
    TypeAdapter(shape).validate_python(example)


def test_the_api_documents_itself(client: httpx2.Client) -> None:
    assert client.get("/docs").status_code == 200
    paths = client.get("/openapi.json").json()["paths"]
    operations = [operation for path in paths.values() for operation in path.values()]
    ids = {"predict", "preview", "predict_scene", "layer", "labels", "model", "live", "ready", "metrics"}
    ids |= {"get_swap", "swap", "get_shadow", "shadow", "end_shadow"}
    assert {operation["operationId"] for operation in operations} == ids
    predict = paths["/predict"]["post"]
    media_types = {"multipart/form-data", "image/jpeg", "image/png", "image/webp", "image/jp2", "image/tiff"}
    assert predict["requestBody"]["content"].keys() == media_types
    assert predict["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].endswith("/Answer")
    errors = {"400", "403", "408", "413", "414", "415", "422", "431", "500", "503", "504"}
    assert predict["responses"].keys() == errors | {"200"}
    edge = {"400", "403", "408", "414", "431"}  # how any route may answer, before it is asked
    assert all(edge <= operation["responses"].keys() for operation in operations)
    for status in errors:
        assert predict["responses"][status]["content"].keys() == {"application/problem+json"}
