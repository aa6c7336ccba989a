"""A whole scene in, labelled windows out, a line each as they come.

A scene's way: `scenes.spool` (bytes) → `scenes.reader` (windows, by a process of its own) →
`scenes.rows` (fair queue and engine) → `scenes.stream` (lines of JSON).
"""

from contextlib import AsyncExitStack, closing
from importlib.util import find_spec
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from service.contract.errors import (
    BodyTooLarge,
    EncodedBody,
    InvalidParameter,
    LostBody,
    MalformedForm,
    NoChip,
    NoSuchVersion,
    NotReady,
    Overloaded,
    ServiceError,
    StalledBody,
    UnsupportedBody,
)
from service.engine.queue.admission import Asker
from service.scenes.errors import NotAScene, SceneError, SceneTooLarge
from service.server import parameters
from service.server.access.scopes import needs
from service.server.body_budget import Share
from service.server.edge.pace import Pace
from service.server.endings.connections import WhileConnected
from service.server.logs import notes
from service.server.openapi import SCENE, SCENE_ANSWER
from service.server.problems import documented
from service.server.scenes.errors import LostScene, MissingExtra
from service.server.scenes.reader import SceneReader, Wanted
from service.server.scenes.rows import Line, Rows
from service.server.scenes.spool import new_file, read_scene
from service.server.scenes.stream import Lines
from service.server.state import running

router = APIRouter()


class _Options(BaseModel):
    """How a scene is cut, and what its answer should tell."""

    model_config = ConfigDict(extra="forbid")

    stride: float = Field(
        1, ge=0.25, le=1, description="from window to window, as a share of a window; below 1 they overlap"
    )
    resolution: float | None = Field(
        None, gt=0, le=1e5, description="ground metres of a chip's pixel; by default as the bundle says"
    )
    members: bool = Field(False, description="Tell every member's own probability of every label.")
    preview: bool = Field(False, description="Tell a picture of the scene, for maps, in the first line.")
    version: str | None = Field(None, description=parameters.VERSION)


@router.post(
    "/predict/scene",
    operation_id="predict_scene",
    summary="Label a scene",
    tags=["chips"],
    status_code=200,
    response_class=Lines,
    response_model=Line,
    responses={
        200: SCENE_ANSWER,
        **documented(
            NoChip, MalformedForm, LostBody, StalledBody, BodyTooLarge, SceneTooLarge, NotAScene,
            UnsupportedBody, EncodedBody, SceneError, LostScene, InvalidParameter, NoSuchVersion,
            ServiceError, MissingExtra, Overloaded, NotReady,
        ),
    },
    openapi_extra={"requestBody": SCENE, "parameters": [parameters.PREFER], **needs("predict")},
)  # fmt: skip
async def predict_scene(request: Request, options: Annotated[_Options, Query()]) -> Lines:
    """Label one GeoTIFF window by window: a raw body, or a file in the form field `scene`.

    The first line tells what is known of the scene, then each window has a line, in order, as soon
    as it is answered; the last line says `done`, or why the answer ends early. One without such a
    line was cut on its way. The time that an answer may take is that of each window.
    """
    service = running(request)
    settings, note = service.settings, notes.current()
    if not find_spec("rasterio"):
        raise MissingExtra("scenes need packages that this service lacks: pip install 'chipvote[scenes]'")
    asker = Asker(note.key, note.client)
    # Before the body is read: refusing must be cheap under load.
    service.versions.of(options.version).admission.check(asker=asker)
    service.scenes.check(asker.key)
    async with AsyncExitStack() as held:
        file = held.enter_context(closing(new_file()))
        share = held.enter_context(Share(service.budget))
        pace = Pace(settings.stall_s, settings.least_rate)
        most_bytes = min(settings.max_scene_bytes, settings.max_inflight_bytes // 2)
        spool = await read_scene(request, share, pace, most_bytes, file)
        note.ended("read")
        held.enter_context(service.scenes.hold(asker.key))
        served = service.versions.of(options.version)  # anew: another may answer by now
        wanted = Wanted(served.bundle.manifest.input, options.stride, options.resolution, options.preview)
        reader = await SceneReader.open(spool, wanted)
        held.push_async_callback(reader.end)
        if (windows := reader.scene["windows"]) > settings.max_scene_windows:
            raise SceneTooLarge(
                f"the scene has {windows} windows; at most {settings.max_scene_windows} are answered: send "
                "parts of it, or label it where it lies: chipvote map FILE --out labels.gpkg"
            )
        ticket = held.enter_context(served.admission.reserve(windows, asker=asker))
        rows = Rows(
            reader,
            served,
            ticket,
            members=options.members,
            within_s=parameters.deadline_s(request, settings.deadline_s),
            most=2 * settings.max_batch,
        )
        held.enter_context(WhileConnected(request.scope, rows.give_up))
        return Lines(rows.lines(), held.pop_all())
    raise AssertionError("an exit stack swallows nothing")
