"""What OpenAPI says beyond the types: bodies and examples, for people and for generated clients.

`tests/system/test_generated_client.py` generates a client. Knows the wire, nothing of how answers
are made.
"""

import json
from collections.abc import Iterable
from typing import Any

from fastapi import FastAPI

from service.client.schemas import Answer, Failure, Health, Labels, Model, Prediction, Shadow, Swap
from service.contract.errors import ServiceError
from service.server.access.scopes import REFUSED, SCHEMES, needs
from service.server.edge.errors import (
    AddressTooLong,
    ForeignPage,
    HeadersTooLarge,
    MalformedRequest,
    SlowRequest,
)
from service.server.forms import FIELD
from service.server.layers.rows import Layer
from service.server.problems import documented
from service.server.scenes import spool, stream
from service.server.uploads import RAW_TYPES

_SCHEMAS = "#/components/schemas/"
BINARY = {"type": "string", "format": "binary"}
_FILES = {
    "type": "array",
    "items": BINARY,
    "minItems": 1,
    "description": "JPEG, PNG, WebP, JPEG 2000 or TIFF files",
}


def _form(files: dict[str, Any], field: str = FIELD) -> dict[str, Any]:
    schema = {"type": "object", "required": [field], "properties": {field: files}}
    return {"multipart/form-data": {"schema": schema}}


CHIPS: dict[str, Any] = {
    "required": True,
    "content": _form(_FILES) | {media_type: {"schema": BINARY} for media_type in RAW_TYPES},
}
# A raw image will do here too, but openapi-python-client writes broken code for an operation that
# has several kinds of bodies and no parameters.
ONE_CHIP: dict[str, Any] = {"required": True, "content": _form(_FILES | {"maxItems": 1})}
SCENE: dict[str, Any] = {
    "required": True,
    "content": _form(BINARY | {"description": "one GeoTIFF"}, spool.FIELD)
    | {media_type: {"schema": BINARY} for media_type in spool.RAW_TYPES},
}

LAYER: dict[str, Any] = {
    "required": True,
    "content": {"application/json": {"schema": {"$ref": f"{_SCHEMAS}{Layer.__name__}"}}},
}

_MODEL: Model = {"name": "uc-merced", "version": "2.2.1"}
_PREDICTION: Prediction = {
    "filename": "tile.jpg",
    "labels": ["trees"],
    "scores": [
        {"label": "trees", "probability": 0.91, "votes": 3, "predicted": True},
        {"label": "water", "probability": 0.04, "votes": 0, "predicted": False},
    ],
    "members": 3,
}
_FAILURE: Failure = {
    "filename": "broken.jpg",
    "error": {
        "type": "about:blank",
        "title": "Truncated or corrupt image",
        "status": 422,
        "detail": "the image is truncated or corrupt; send the whole file",
    },
}
ANSWER: Answer = {
    "model": _MODEL,
    "predictions": [_PREDICTION, _FAILURE],
}
_WINDOW: dict[str, Any] = {
    "window": {"column": 0, "row": 256, "width": 256, "height": 256},
    "footprint": None,
}
SCENE_LINES: list[Any] = [
    {
        "model": _MODEL,
        "scene": {
            "filename": "kampala.tif",
            "width": 512,
            "height": 512,
            "crs": "EPSG:3857",
            "resolution_m": 0.3,
            "windows": 4,
            "footprint": None,
        },
    },
    {**_WINDOW, **{key: value for key, value in _PREDICTION.items() if key != "filename"}},
    {**_WINDOW, "skipped": "nodata"},
    {**_WINDOW, "error": _FAILURE["error"]},
    {"done": {"windows": 4, "labelled": 2, "skipped": 1, "failed": 1}},
]
SCENE_ANSWER: dict[str, Any] = {
    "description": "a JSON object in each line; the schema is a line's",
    "content": {stream.MEDIA_TYPE: {"example": "".join(f"{json.dumps(line)}\n" for line in SCENE_LINES)}},
}
LABELS: Labels = {
    "model": _MODEL,
    "rule": "vote",
    "labels": [
        {
            "name": "trees",
            "group": "common",
            "prevalence": 0.48,
            "thresholds": [0.211, 0.201, 0.195],
            "weights": [1, 1, 1],
            "quorum": 2,
            "f2": 0.94,
        }
    ],
}
SWAP: Swap = {
    "bundles": ["uc-merced-2.2.1", "uc-merced-2.3.0"],
    "serving": {"bundle": "uc-merced-2.3.0", "version": "2.3.0"},
    "other": {"bundle": "uc-merced-2.2.1", "version": "2.2.1"},
    "shadow": False,
    "job": {
        "bundle": "uc-merced-2.3.0",
        "step": "done",
        "detail": None,
        "differences": {
            "chips": 64,
            "different": 1,
            "labels": [{"label": "trees", "added": 1, "removed": 0}],
        },
    },
}
SHADOW: Shadow = {
    "serving": "2.2.1",
    "candidate": "2.3.0",
    "share": 0.1,
    "failed": 0,
    "skipped": 0,
    "chips": 1000,
    "different": 12,
    "labels": [{"label": "trees", "added": 9, "removed": 4}],
}
LIVE: Health = {"status": "live"}
READY: Health = {"status": "ready"}
_FILE = {"path": "resnet50.int8.onnx", "sha256": "0" * 64, "size_bytes": 24_300_000}
_CHECK = {"chips": 512, "max_probability_difference": 0.066, "sample_f2_change": -0.0009}
_SCORE = {"positives": 807, "precision": 0.823, "recall": 0.974, "f2": 0.94, "average_precision": 0.973}
MODEL_CARD = {
    **_MODEL,
    "device": "cpu",
    "precision": "int8",
    "passed_over": [],
    "description": "Land-use labels for overhead RGB chips of about 0.3 m per pixel.",
    "input": {"bands": ["red", "green", "blue"], "dtype": "uint8", "height": 256, "width": 256},
    "labels": [{"name": "trees", "group": "common", "prevalence": 0.48}],
    "members": [
        {
            "name": "resnet50",
            "architecture": "resnet50",
            "graphs": {"int8": {"file": _FILE, "check": _CHECK, "bounded": True}},
        }
    ],
    "decision": {"rule": "vote", "thresholds": [[0.25]], "weights": [[1]], "quorum": [1]},
    "golden": {"path": "golden.npz", "sha256": "0" * 64, "size_bytes": 90_000},
    "scores": {
        "fitting": "cross-fitted",
        "chips": 1680,
        "sample_f2": 0.948,
        "macro_f2": 0.963,
        "mean_average_precision": 0.983,
        "group_f2": {"common": 0.963},
        "labels": [{"label": "trees", **_SCORE}],
    },
    "provenance": {
        "dataset": "ucmerced",
        "dataset_sha256": "0" * 64,
        "chips": 1680,
        "recipe": {},
        "versions": {},
        "licence": "Apache-2.0",
    },
}


# How any route may answer, before it is asked.
_EDGE = (MalformedRequest, ForeignPage, SlowRequest, AddressTooLong, HeadersTooLarge)


def complete(app: FastAPI, *, asked: bool) -> None:
    """Complete a service's description.

    By shapes that the framework does not see, by how the edge answers in any route's place, and by
    the keys that are asked for: of all that are known, or none.
    """
    describe = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema:
            return app.openapi_schema
        document = describe()
        # A body that is read piece by piece is none that the framework knows.
        layer = Layer.model_json_schema(ref_template=f"{_SCHEMAS}{{model}}")
        schemas = layer.pop("$defs") | {Layer.__name__: layer}
        document["components"]["schemas"] = schemas | document["components"]["schemas"]
        for path in document["paths"].values():
            for operation in path.values():
                security = operation.pop("security", needs("admin")["security"])
                if asked:
                    operation["security"] = security
                responses = _by_status(_EDGE) | operation["responses"]
                if asked and security:
                    responses |= _by_status(REFUSED)
                operation["responses"] = dict(sorted(responses.items()))
        if asked:
            document["components"]["securitySchemes"] = SCHEMES
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def _by_status(kinds: Iterable[type[ServiceError]]) -> dict[str, dict[str, Any]]:
    return {str(status): told for status, told in documented(*kinds).items()}


def example(
    answer: object, *others: type[ServiceError], status: int = 200
) -> dict[int | str, dict[str, Any]]:
    """Return OpenAPI responses: what a route answers, and the errors it may answer with instead."""
    return {status: {"content": {"application/json": {"example": answer}}}, **documented(*others)}
