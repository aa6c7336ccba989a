"""The routes. Each reads as its answer is made; the parts do the work.

A chip's way: `uploads` (bytes) → `decoding` (pixels, by `chips`) → `batching` (queue and
engine) → `answers` (JSON). Knows HTTP and the running service, nothing of
start-up or of error bodies.
"""

import asyncio
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, RedirectResponse, Response
from PIL import Image
from prometheus_client import Counter
from pydantic_core import to_json

from service import answers
from service.answers import Answer, Failure, Health, Labels, ModelCard, Prediction
from service.batching import Engine
from service.bundle import Bundle, InputSpec
from service.chips import picture
from service.decoding import Decoders
from service.ensemble import Ensemble
from service.errors import (
    BodyTooLarge,
    ChipError,
    EmptyChip,
    InvalidParameter,
    MalformedForm,
    NoChip,
    NotAnImage,
    NotReady,
    Overloaded,
    ServiceError,
    TooManyPixels,
    UnsupportedBody,
)
from service.metrics import CONTENT_TYPE, Metrics
from service.problems import documented
from service.settings import Settings
from service.uploads import FIELD, RAW_TYPES, Upload, read_uploads

router = APIRouter()


@dataclass(frozen=True)
class Running:
    """What a started service consists of."""

    settings: Settings
    bundle: Bundle
    ensemble: Ensemble  # to be asked where it runs; only the engine may run it
    engine: Engine[Ensemble]
    decoders: Decoders
    metrics: Metrics
    predicted: Sequence[Counter]  # of each label, in the bundle's order


def running(request: Request) -> Running:
    """Return the started service.

    Raises:
        NotReady: it has not started.
    """
    started: Running | None = request.app.state.running
    if started is None:
        raise NotReady("the service is starting; send the request again in a moment")
    return started


_BINARY = {"type": "string", "format": "binary"}
_PREDICT_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": [FIELD],
                "properties": {FIELD: {"type": "array", "items": _BINARY, "minItems": 1}},
            }
        },
        **{media_type: {"schema": _BINARY} for media_type in RAW_TYPES},
    },
}
_PREDICT_PARAMETERS = [
    {"name": name, "in": "query", "description": text, "schema": {"type": "boolean", "default": False}}
    for name, text in (
        ("members", "Tell every member's own probability of every label; all members run."),
        ("evidence", "Tell where each predicted label's evidence lies on the chip; all members run."),
    )
]
_PREDICT_EXAMPLE = {
    "model": {"name": "uc-merced", "version": "2.1.1"},
    "predictions": [
        {
            "filename": "tile.jpg",
            "labels": ["trees"],
            "scores": [
                {"label": "trees", "probability": 0.91, "votes": 3, "predicted": True},
                {"label": "water", "probability": 0.04, "votes": 0, "predicted": False},
            ],
            "members": 3,
        }
    ],
}


@router.post(
    "/predict",
    operation_id="predict",
    summary="Label chips",
    response_model=Answer,
    responses={
        200: {"content": {"application/json": {"example": _PREDICT_EXAMPLE}}},
        **documented(
            EmptyChip, NoChip, MalformedForm, BodyTooLarge, TooManyPixels, NotAnImage, UnsupportedBody,
            ChipError, InvalidParameter, ServiceError, Overloaded, NotReady,
        ),
    },
    openapi_extra={"requestBody": _PREDICT_BODY, "parameters": _PREDICT_PARAMETERS},
)  # fmt: skip
async def predict(request: Request) -> Response:
    """Label one chip or many: files in the form field `chip`, or one raw image as the body.

    Of many files, a bad one is answered in its place by an `error` and the others as usual.
    A single bad chip is answered by its problem.
    """
    service = running(request)
    service.engine.check()  # before the body is read: refusing must be cheap under load
    wanted = _wanted(request)
    limits = service.settings
    uploads = await read_uploads(request, max_body_bytes=limits.max_body_bytes, max_chips=limits.max_chips)
    with service.engine.reserve(len(uploads)) as places:
        if len(uploads) == 1:
            outcomes: list[Prediction | BaseException] = [
                await _predict_one(service, places, uploads[0], wanted)
            ]
        else:
            # Exceptions are collected, so that the places stay held until the last chip has ended.
            outcomes = await asyncio.gather(
                *(_predict_one(service, places, upload, wanted) for upload in uploads), return_exceptions=True
            )
    predictions: list[Prediction | Failure] = []
    for upload, outcome in zip(uploads, outcomes, strict=True):
        if isinstance(outcome, ChipError):
            predictions.append(answers.failure(upload.filename, outcome))
        elif isinstance(outcome, BaseException):
            raise outcome
        else:
            predictions.append(outcome)
    answer = Answer(model=answers.model(service.bundle), predictions=predictions)
    # Already in shape: the framework's own way would validate every score again.
    return Response(to_json(answer), media_type="application/json")


class _Wanted(NamedTuple):
    """What an answer should tell beyond the label set and its scores."""

    members: bool
    evidence: bool


def _wanted(request: Request) -> _Wanted:
    if not request.scope["query_string"]:
        return _Wanted(False, False)
    for name in _Wanted._fields:
        value = request.query_params.get(name, "false")
        if value not in ("true", "false"):
            raise InvalidParameter(f"{name}={value}: it is true or false")
    return _Wanted(*(request.query_params.get(name) == "true" for name in _Wanted._fields))


async def _predict_one(
    service: Running, places: asyncio.Semaphore, upload: Upload, wanted: _Wanted
) -> Prediction:
    outcomes = service.metrics.chips
    async with places:
        try:
            vote = await service.decoders.vote(upload.data, any(wanted))
        except ChipError:
            outcomes.labels("refused").inc()
            raise
        except Exception:
            outcomes.labels("failed").inc()
            raise
    outcomes.labels("answered").inc()
    service.metrics.members.observe(vote.members)
    for counter, predicted in zip(service.predicted, vote.predicted, strict=True):
        if predicted:
            counter.inc()
    return answers.prediction(
        upload.filename, vote, service.bundle, members=wanted.members, evidence=wanted.evidence
    )


@router.post(
    "/preview",
    operation_id="preview",
    summary="Show a chip",
    response_class=Response,
    responses={
        200: {"content": {"image/png": {"schema": _BINARY}}},
        **documented(
            EmptyChip, NoChip, MalformedForm, BodyTooLarge, TooManyPixels, NotAnImage, UnsupportedBody,
            ChipError, ServiceError, NotReady,
        ),
    },
    openapi_extra={"requestBody": _PREDICT_BODY},
)  # fmt: skip
async def preview(request: Request) -> Response:
    """Answer one chip as a PNG in natural colours at the model's size; browsers show no TIFF."""
    service = running(request)
    uploads = await read_uploads(request, max_body_bytes=service.settings.max_body_bytes, max_chips=1)
    png = await asyncio.to_thread(_png, uploads[0].data, service.bundle.manifest.input)
    return Response(png, media_type="image/png")


def _png(data: bytes, spec: InputSpec) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture(data, spec)).save(file, "PNG")
    return file.getvalue()


@router.get("/labels", operation_id="labels", summary="The labels, in order", responses=documented(NotReady))
async def get_labels(request: Request) -> Labels:
    """Each label's group, prevalence, thresholds, weights and quorum, and measured F2."""
    return answers.labels(running(request).bundle)


@router.get(
    "/model",
    operation_id="model",
    summary="The model card",
    response_model=ModelCard,
    responses=documented(NotReady),
)
async def get_model(request: Request) -> dict[str, Any]:
    """The bundle's manifest, with the device and the precision it runs at."""
    service = running(request)
    return answers.model_card(service.bundle, service.ensemble.device, service.ensemble.precision)


@router.get("/health/live", operation_id="live", summary="Is the process there?")
async def get_live() -> Health:
    """Answer as long as the event loop turns."""
    return Health(status="live")


@router.get("/health/ready", operation_id="ready", summary="Can it predict?", responses=documented(NotReady))
async def get_ready(request: Request) -> Health:
    """Ready once the golden decisions have been reproduced, until shutting down begins."""
    if not running(request).engine.ready:
        raise NotReady("the service is shutting down")
    return Health(status="ready")


@router.get(
    "/metrics", operation_id="metrics", summary="Prometheus metrics", response_class=PlainTextResponse
)
async def get_metrics(request: Request) -> Response:
    """Every counter and histogram, in Prometheus' text format."""
    metrics: Metrics = request.app.state.metrics
    return Response(metrics.exposition(), media_type=CONTENT_TYPE)


@router.get("/", include_in_schema=False)
async def get_root() -> RedirectResponse:
    """Lead a browser to the interactive documentation."""
    return RedirectResponse("docs")
