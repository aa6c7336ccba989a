"""A scene's body → a file in memory that GDAL can open, without a name and gone when it is closed.

Not on disk: the service writes nothing, and what it holds in memory counts in the budget of all
bodies. Knows no more of a TIFF than how it begins.
"""

import os
import sys
import tempfile
from typing import BinaryIO, NamedTuple

from starlette.requests import Request

from service.contract.chips.tiff_directory import SIGNATURES
from service.contract.errors import NoChip, OutOfMemory, UnsupportedBody
from service.scenes.errors import NotAScene
from service.server.body_budget import Share
from service.server.edge.pace import Pace
from service.server.forms import Form
from service.server.uploads import check_coding, read_body

FIELD = "scene"
RAW_TYPES = ("image/tiff", "application/octet-stream")
_INSTEAD = "label it where it lies, without a service: chipvote map FILE --out labels.gpkg"


class Spool(NamedTuple):
    """A scene as it came; a raw body has no name."""

    name: str | None
    file: BinaryIO


def new_file() -> BinaryIO:
    """Return an empty file without a name; in memory, where the system can.

    Raises:
        OutOfMemory: there is no descriptor for it.
    """
    try:
        if sys.platform == "linux":
            return os.fdopen(os.memfd_create("scene"), "w+b", buffering=0)
        return tempfile.TemporaryFile(buffering=0)
    except OSError as error:
        raise OutOfMemory("there is no room for a scene; send it again in a moment") from error


async def read_scene(request: Request, share: Share, pace: Pace, most_bytes: int, file: BinaryIO) -> Spool:
    """Read a request's only file.

    Args:
        request: a raw GeoTIFF, or a form with one in its field `scene`.
        share: as of `read_uploads`; so for `pace`.
        pace: see above.
        most_bytes: of the body.
        file: takes it; the caller's to close.

    Raises:
        NotAScene: it is no TIFF.
        ServiceError: as `read_uploads`.
    """
    check_coding(request)
    header = request.headers.get("content-type", "")
    content_type = header.partition(";")[0].strip().lower()
    name = None
    if content_type in RAW_TYPES:
        await read_body(request, share, pace, most_bytes, file.write, _INSTEAD)
    elif content_type == "multipart/form-data":
        form = Form(header, 1, FIELD, lambda: file)
        await read_body(request, share, pace, most_bytes, form.write, _INSTEAD)
        form.end()
        name = form.files[0].name
    else:
        raise UnsupportedBody(
            f"the content type is {content_type or 'missing'}; send a GeoTIFF as {' or '.join(RAW_TYPES)}, "
            f"or as a file in the field `{FIELD}` of multipart/form-data"
        )
    _check(file)
    return Spool(name, file)


def _check(file: BinaryIO) -> None:
    """Refuse what is no TIFF: that needs no process.

    Raises:
        NoChip: it is empty.
        NotAScene: it is something else.
    """
    file.seek(0)
    head = file.read(4)
    if not head:
        raise NoChip("the scene has no bytes; send a GeoTIFF")
    if head not in SIGNATURES:
        raise NotAScene(f"the bytes start with {head.hex(' ')}, no TIFF; send a GeoTIFF")
