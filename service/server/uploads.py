"""A request's body → the bytes of each chip, within the limits.

Reads a form or one raw image. Knows content types, sizes and time, and nothing of what the
bytes mean: `chips.py` decodes them.
"""

import asyncio
import io
from collections.abc import Callable
from typing import NamedTuple

from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from service.contract.errors import (
    BodyTooLarge,
    EncodedBody,
    LostBody,
    NotReady,
    StalledBody,
    UnsupportedBody,
)
from service.server.body_budget import Share
from service.server.edge.pace import Pace
from service.server.endings.connections import has_come
from service.server.forms import FIELD, Form

MAX_DIGITS = 19  # of a body's length in bytes; Python refuses to read thousands
RAW_TYPES = ("image/jpeg", "image/png", "image/webp", "image/jp2", "image/tiff")
_PLAIN = {b"content-encoding": "identity", b"transfer-encoding": "chunked"}  # the bytes as they are


class Upload(NamedTuple):
    """One file as it came; a raw body has no name, and some forms give none."""

    filename: str | None
    data: bytes


async def read_uploads(
    request: Request, share: Share, pace: Pace, *, max_body_bytes: int, max_chips: int
) -> list[Upload]:
    """Read all chips of a request: at least one, at most `max_chips`.

    Args:
        request: its body comes in pieces.
        share: takes every byte before it is kept, for as long as the caller keeps the chips.
        pace: which the body must keep; what has come so far takes memory that others need.
        max_body_bytes: most bytes of one body.
        max_chips: most files of one form.

    Raises:
        RequestError: the body as a whole cannot be used.
        Overloaded: other bodies leave no room for it.
        NotReady: the service stopped before the body had come.
        MemoryError: the process has none.
    """
    check_coding(request)
    header = request.headers.get("content-type", "")
    content_type = header.partition(";")[0].strip().lower()
    if content_type in RAW_TYPES:
        with io.BytesIO() as raw:  # and no list of pieces, which would need as much again to be joined
            await read_body(request, share, pace, max_body_bytes, raw.write)
            return [Upload(None, raw.getvalue())]
    if content_type == "multipart/form-data":
        with Form(header, max_chips) as form:
            await read_body(request, share, pace, max_body_bytes, form.write)
            return [Upload(name, data) for name, data in form.chips()]
    raise UnsupportedBody(
        f"the content type is {content_type or 'missing'}; send multipart/form-data with files in the "
        f"field `{FIELD}`, or one image as {', '.join(RAW_TYPES)}"
    )


def check_coding(request: Request) -> None:
    """Refuse a body that is compressed on its way.

    Raises:
        EncodedBody: names the coding.
    """
    codings = [
        coding
        for name, value in request.scope["headers"]
        if name in _PLAIN
        for coding in map(str.strip, value.decode("latin-1").lower().split(","))
        if coding not in ("", _PLAIN[name])
    ]
    if codings:
        raise EncodedBody(
            f"the body is encoded ({', '.join(codings)}); send the bytes as they are, without "
            "Content-Encoding: images are compressed already"
        )


async def read_body(
    request: Request,
    share: Share,
    pace: Pace,
    max_body_bytes: int,
    keep: Callable[[bytes], object],
    instead: str = "send the chips in several requests",
) -> None:
    """Hand a body on, piece by piece.

    Args:
        request: its body.
        share: as of `read_uploads`; so for the next two.
        pace: see above.
        max_body_bytes: see above.
        keep: takes each piece.
        instead: of a body that is too large.

    Raises:
        BodyTooLarge, StalledBody, Overloaded: before the piece is kept that is too much.
        LostBody, NotReady: it will not come.
    """
    claimed = request.headers.get("content-length", "").lstrip("0")
    if claimed.isdecimal():
        if len(claimed) > MAX_DIGITS or int(claimed) > max_body_bytes:
            raise _too_large(max_body_bytes, instead)
        share.expect(int(claimed))
    size = 0
    while True:
        message = await _next(request, pace, size)
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk = message.get("body", b"")
        size += len(chunk)
        pace.count(len(chunk))
        if size > max_body_bytes:
            raise _too_large(max_body_bytes, instead)
        share.take(len(chunk))
        keep(chunk)
        if not message.get("more_body", False):
            break
    if not size and "upgrade" in request.headers:
        _check_lost(request)


async def _next(request: Request, pace: Pace, size: int) -> Message:
    """Wait for the next piece.

    Raises:
        StalledBody: it does not come in time.
        NotReady: the service stopped.
    """
    if has_come(request.scope):
        return await request.receive()
    try:
        return await pace.next(request.receive)
    except TimeoutError as error:
        raise StalledBody(
            f"{size} bytes of the body came, and then too few for {pace.stall_s:g} s; send the request again"
        ) from error
    except asyncio.CancelledError as error:  # the server does so when its time to shut down is over
        raise NotReady("the service stopped before the body had come; send the request again") from error


def _check_lost(request: Request) -> None:
    """Tell of a body that the server's parser never reads.

    The parser stops where the request asks for another protocol.

    Raises:
        LostBody: there was one.
    """
    if request.headers.get("content-length", "0").strip("0") or "transfer-encoding" in request.headers:
        raise LostBody(
            f"the request asks for another protocol (Upgrade: {request.headers['upgrade']}), and its body is "
            "lost by that; send plain HTTP/1.1 without Upgrade (in Java: "
            "HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1))"
        )


def _too_large(max_body_bytes: int, instead: str) -> BodyTooLarge:
    return BodyTooLarge(f"the body has more than {max_body_bytes} bytes; {instead}")
