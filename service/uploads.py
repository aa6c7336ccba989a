"""A request's body → the bytes of each chip, within the limits.

Reads a form or one raw image. Knows content types and sizes, and nothing of what the
bytes mean: `chips.py` decodes them.
"""

import sys
from collections.abc import AsyncGenerator, AsyncIterator
from typing import NamedTuple

from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from service.errors import BodyTooLarge, MalformedForm, NoChip, UnsupportedBody
from service.files import printable

FIELD = "chip"
MAX_DIGITS = 19  # of a body's length in bytes; Python refuses to read thousands
RAW_TYPES = ("image/jpeg", "image/png", "image/tiff")


class Upload(NamedTuple):
    """One file as it came; a raw body has no name."""

    filename: str | None
    data: bytes


async def read_uploads(request: Request, *, max_body_bytes: int, max_chips: int) -> list[Upload]:
    """Read all chips of a request: at least one, at most `max_chips`.

    Raises:
        RequestError: the body as a whole cannot be used.
    """
    body = _limited(request, max_body_bytes)
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type in RAW_TYPES:
        return [Upload(None, b"".join([chunk async for chunk in body]))]
    if content_type == "multipart/form-data":
        return await _read_form(request.headers, body, max_chips)
    raise UnsupportedBody(
        f"the content type is {content_type or 'missing'}; send multipart/form-data with files in the "
        f"field `{FIELD}`, or one image as {', '.join(RAW_TYPES)}"
    )


async def _limited(request: Request, max_body_bytes: int) -> AsyncGenerator[bytes, None]:
    too_large = BodyTooLarge(
        f"the body has more than {max_body_bytes} bytes; send the chips in several requests"
    )
    claimed = request.headers.get("content-length", "").lstrip("0")
    if claimed.isdecimal() and (len(claimed) > MAX_DIGITS or int(claimed) > max_body_bytes):
        raise too_large
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > max_body_bytes:
            raise too_large
        yield chunk


async def _read_form(headers: Headers, body: AsyncGenerator[bytes, None], max_chips: int) -> list[Upload]:
    try:
        form = await _WholeForm(headers, body, max_files=max_chips).parse()
    except (MultiPartException, UnicodeError) as error:
        reason = error.message if isinstance(error, MultiPartException) else str(error)
        raise MalformedForm(
            f"the form cannot be read: {reason}; at most {max_chips} files, each in the field `{FIELD}`"
        ) from error
    try:
        files = [file for file in form.getlist(FIELD) if isinstance(file, UploadFile)]
        if not files:
            raise NoChip(f"the form has no file in its field `{FIELD}`; send each chip as one such file")
        # The form chooses its own character set, and some can spell what JSON cannot.
        return [Upload(printable(file.filename or ""), await file.read()) for file in files]
    finally:
        await form.close()


class _WholeForm(MultiPartParser):
    """A form that must reach its closing boundary; the parser alone drops a last, cut file."""

    # Never spill to disk: the body's limit bounds it, its chips are read into memory next, and a
    # container may have no disk to write to.
    spool_max_size = sys.maxsize

    def __init__(self, headers: Headers, body: AsyncIterator[bytes], *, max_files: int) -> None:
        super().__init__(headers, self._until_closed(body), max_files=max_files)
        self._closed = False

    def on_end(self) -> None:
        self._closed = True

    async def _until_closed(self, body: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        async for chunk in body:
            yield chunk
        if not self._closed:
            raise MultiPartException("It ends before its closing boundary.")
