"""Chips in, label sets or pictures out. Each route reads as its answer is made.

A chip's way: `uploads` (bytes) → `decoding` (pixels, by `chips`) → `batching` (queue and
engine) → `answers` (JSON).
"""

import asyncio
from collections.abc import Sequence
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic_core import to_json

from service.answers.footprint import footprint
from service.answers.overlay import overlay, png, sheet
from service.answers.predictions import answer, failure, prediction
from service.client.schemas import Answer, Failure, Prediction
from service.contract.chips.decode import picture
from service.contract.errors import (
    BodyTooLarge,
    ChipError,
    ClientGone,
    DeadlinePassed,
    EmptyChip,
    EncodedBody,
    InvalidParameter,
    LostBody,
    MalformedForm,
    NoChip,
    NoSuchVersion,
    NotAnImage,
    NotReady,
    Overloaded,
    ServiceError,
    StalledBody,
    TooManyChips,
    TooManyPixels,
    UnsupportedBody,
)
from service.contract.manifest import InputSpec
from service.engine.queue.admission import Asker
from service.engine.queue.ticket import Ticket
from service.engine.served import Served
from service.server import parameters
from service.server.access.scopes import needs
from service.server.body_budget import Share
from service.server.edge.pace import Pace
from service.server.endings.connections import WhileConnected
from service.server.logs import notes
from service.server.openapi import ANSWER, BINARY, CHIPS, ONE_CHIP
from service.server.parameters import PredictOptions
from service.server.problems import documented, explained
from service.server.state import Running, running
from service.server.uploads import Upload, read_uploads

router = APIRouter()


@router.post(
    "/predict",
    operation_id="predict",
    summary="Label chips",
    tags=["chips"],
    response_model=Answer,
    responses={
        200: {"content": {"application/json": {"example": ANSWER}, "image/png": {"schema": BINARY}}},
        **documented(
            EmptyChip, NoChip, MalformedForm, StalledBody, LostBody, BodyTooLarge, TooManyChips,
            TooManyPixels, NotAnImage, UnsupportedBody, EncodedBody, ChipError, InvalidParameter,
            NoSuchVersion, ServiceError, Overloaded, NotReady, DeadlinePassed,
        ),
    },
    openapi_extra={"requestBody": CHIPS, "parameters": parameters.DOCUMENTED, **needs("predict")},
)  # fmt: skip
async def predict(request: Request) -> Response:
    """Label one chip or many: files in the form field `chip`, or one raw image as the body.

    Of many files, a bad one is answered in its place by an `error` and the others as usual.
    A single bad chip is answered by its problem.
    """
    service = running(request)
    deadline_s = parameters.deadline_s(request, service.settings.deadline_s)
    note = notes.current()
    asker = Asker(note.key, note.client)
    # Looking for parameters where there are none would cost more than the rest of this function.
    options = (
        parameters.predict_options(request.query_params)
        if request.scope["query_string"]
        else PredictOptions()
    )
    # Before the body is read: refusing must be cheap under load.
    service.versions.of(options.version).admission.check(1, deadline_s, asker)
    with Share(service.budget) as share:
        uploads = await _read(request, service, share, service.settings.max_chips)
        if options.format == "png" and len(uploads) > 1:
            raise InvalidParameter(f"format=png shows one chip and {len(uploads)} came; send them one by one")
        served = service.versions.of(options.version)  # anew: another may answer by now
        with (
            served.admission.reserve(len(uploads), deadline_s, asker) as ticket,
            WhileConnected(request.scope, lambda: ticket.end(ClientGone("the client has gone"))),
        ):
            results = await _predict_all(served, ticket, uploads, options)
        note.failed = len([result for result in results if "error" in result])
        note.ended("vote")
        if options.format == "png":
            return await _show_evidence(served, uploads[0], results[0], options.label)
    # Already in shape: the framework's own way would validate every score again.
    return Response(to_json(answer(served.bundle, results)), media_type="application/json")


async def _read(request: Request, service: Running, share: Share, max_chips: int) -> list[Upload]:
    pace = Pace(service.settings.stall_s, service.settings.least_rate)
    uploads = await read_uploads(
        request, share, pace, max_body_bytes=service.settings.max_body_bytes, max_chips=max_chips
    )
    note = notes.current()
    note.chips = len(uploads)
    note.ended("read")
    return uploads


async def _predict_all(
    served: Served, ticket: Ticket, uploads: Sequence[Upload], options: PredictOptions
) -> list[Prediction | Failure]:
    """Answer each of many chips, be it by its problem; a single chip's problem is the request's."""
    if len(uploads) == 1:
        return [await _predict_one(served, ticket, uploads[0], options)]
    # Exceptions are collected, so that places stay held until the last chip has ended.
    outcomes = await asyncio.gather(
        *(_predict_one(served, ticket, upload, options) for upload in uploads), return_exceptions=True
    )
    ticket.check()
    results: list[Prediction | Failure] = []
    for upload, outcome in zip(uploads, outcomes, strict=True):
        if isinstance(outcome, Exception):
            results.append(failure(upload.filename, explained(outcome)))
        elif isinstance(outcome, BaseException):
            raise outcome
        else:
            results.append(outcome)
    return results


async def _predict_one(served: Served, ticket: Ticket, upload: Upload, options: PredictOptions) -> Prediction:
    vote = await served.vote(ticket, upload.data, options.explain)
    answered = prediction(
        upload.filename, vote, served.bundle, members=options.members, evidence=options.evidence
    )
    if options.footprint:
        answered["footprint"] = await asyncio.to_thread(footprint, upload.data)
    return answered


async def _show_evidence(
    served: Served, upload: Upload, answered: Prediction | Failure, label: str | None
) -> Response:
    assert "scores" in answered  # a single chip's failure was the request's
    spec = served.bundle.manifest.input
    data = await asyncio.to_thread(_evidence_png, upload.data, answered, label, spec)
    version = quote(served.version, safe="+:/@ ")  # it may be any text, and a header is none
    return Response(data, media_type="image/png", headers={"X-Chipvote-Version": version})


def _evidence_png(data: bytes, answered: Prediction, label: str | None, spec: InputSpec) -> bytes:
    """Draw one predicted label's evidence, or all of them.

    Raises:
        InvalidParameter: the label is not among the predicted ones.
    """
    grids = {score["label"]: score["evidence"] for score in answered["scores"] if "evidence" in score}
    chip_HW3 = picture(data, spec)
    if label is None:
        return png(sheet(chip_HW3, grids))
    if label not in grids:
        raise InvalidParameter(
            f"label={label}: evidence is there for the predicted labels: {', '.join(grids) or 'none'}"
        )
    return png(overlay(chip_HW3, grids[label]))


@router.post(
    "/preview",
    operation_id="preview",
    summary="Show a chip",
    tags=["chips"],
    response_class=Response,
    responses={
        200: {"content": {"image/png": {"schema": BINARY}}},
        **documented(
            EmptyChip, NoChip, MalformedForm, StalledBody, LostBody, BodyTooLarge, TooManyPixels,
            NotAnImage, UnsupportedBody, EncodedBody, ChipError, ServiceError, Overloaded, NotReady,
        ),
    },
    openapi_extra={"requestBody": ONE_CHIP, **needs("predict")},
)  # fmt: skip
async def preview(request: Request) -> Response:
    """Answer one chip as a PNG in natural colours at the model's size; browsers show no TIFF."""
    service = running(request)
    service.previews.check()  # before the body is read
    with Share(service.budget) as share:
        (upload,) = await _read(request, service, share, max_chips=1)
        spec = service.versions.current.bundle.manifest.input
        return Response(await service.previews.draw(upload.data, spec), media_type="image/png")
