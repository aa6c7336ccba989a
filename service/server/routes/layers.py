"""Predictions in, a layer for a GIS out."""

import io

from fastapi import APIRouter, Request
from fastapi.responses import Response

from service.contract.errors import (
    BodyTooLarge,
    EncodedBody,
    LostBody,
    NotReady,
    Overloaded,
    ServiceError,
    StalledBody,
    UnsupportedBody,
)
from service.server.access.scopes import needs
from service.server.body_budget import Share
from service.server.edge.pace import Pace
from service.server.layers.errors import InvalidRows, NoRoom
from service.server.layers.rows import MOST_ROWS
from service.server.logs import notes
from service.server.openapi import BINARY, LAYER
from service.server.problems import documented
from service.server.scenes.errors import MissingExtra
from service.server.state import running
from service.server.uploads import check_coding, read_body

router = APIRouter()

GEOPACKAGE = "application/geopackage+sqlite3"
MOST_BYTES = 32 << 20  # of a body; twice what ten thousand rows of 17 labels take


@router.post(
    "/layer",
    operation_id="layer",
    summary="Save predictions for a GIS",
    tags=["chips"],
    response_class=Response,
    responses={
        200: {"content": {GEOPACKAGE: {"schema": BINARY}}},
        **documented(
            LostBody, StalledBody, BodyTooLarge, UnsupportedBody, EncodedBody, InvalidRows,
            ServiceError, MissingExtra, Overloaded, NotReady, NoRoom,
        ),
    },
    openapi_extra={"requestBody": LAYER, **needs("predict")},
)  # fmt: skip
async def layer(request: Request) -> Response:
    """Answer predictions as a GeoPackage, with the columns that `chipvote map` writes.

    Each lies where its `footprint` says; one without has no geometry.
    """
    service = running(request)
    service.layers.check()  # before the body is read
    check_coding(request)
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/json":
        raise UnsupportedBody(f"the content type is {content_type or 'missing'}; send application/json")
    pace = Pace(service.settings.stall_s, service.settings.least_rate)
    with Share(service.budget) as share, io.BytesIO() as body:
        instead = f"send at most {MOST_ROWS} rows, without evidence"
        most_bytes = min(MOST_BYTES, service.settings.max_body_bytes)
        await read_body(request, share, pace, most_bytes, body.write, instead)
        notes.current().ended("read")
        data = await service.layers.geopackage(body.getvalue())
    name = {"Content-Disposition": 'attachment; filename="labels.gpkg"'}
    return Response(data, media_type=GEOPACKAGE, headers=name)
