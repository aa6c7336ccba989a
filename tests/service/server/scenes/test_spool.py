import asyncio
import errno
import os

import pytest
from starlette.requests import Request

from service.contract.errors import BodyTooLarge, MalformedForm, NoChip, OutOfMemory, UnsupportedBody
from service.scenes.errors import NotAScene
from service.server.body_budget import Budget, Share
from service.server.edge.pace import Pace
from service.server.scenes.spool import Spool, new_file, read_scene

FORM = "multipart/form-data; boundary=edge"


def read(
    content_type: str, body: bytes, budget: Budget | None = None, most_bytes: int = 1000
) -> tuple[str | None, bytes]:
    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": body}

    async def scenario() -> tuple[str | None, bytes]:
        scope = {"type": "http", "headers": [(b"content-type", content_type.encode())], "extensions": {}}
        with new_file() as file, Share(budget or Budget(1 << 20)) as share:
            spool = await read_scene(Request(scope, receive), share, Pace(1, 1), most_bytes, file)
            return spool.name, again(spool)

    return asyncio.run(scenario())


def again(spool: Spool) -> bytes:
    """Read it as another process would: by the number of the open file."""
    with open(f"/dev/fd/{spool.file.fileno()}", "rb") as opened:
        return opened.read()


def form(name: str, content: bytes, more: bytes = b"") -> bytes:
    head = f'--edge\r\nContent-Disposition: form-data; name="{name}"; filename="a.tif"\r\n\r\n'
    return head.encode() + content + b"\r\n" + more + b"--edge--\r\n"


@pytest.mark.parametrize("content_type", ["image/tiff", "application/octet-stream; x=y"])
def test_a_raw_body_is_the_scene(content_type: str) -> None:
    assert read(content_type, b"II*\0") == (None, b"II*\0")


def test_a_form_has_it_in_its_field_with_a_name() -> None:
    assert read(FORM, form("scene", b"II*\0" * 50)) == ("a.tif", b"II*\0" * 50)


def test_it_is_no_file_that_anybody_finds() -> None:
    with new_file() as file:
        assert os.fstat(file.fileno()).st_nlink == 0


@pytest.mark.parametrize(
    ("content_type", "body", "kind", "said"),
    [
        ("image/tiff", b"", NoChip, "no bytes"),
        ("image/png", b"1", UnsupportedBody, "field `scene`"),
        (FORM, form("chip", b"1"), NoChip, "field `scene`; send each scene"),
        (FORM, form("scene", b""), NoChip, "no bytes"),
        (FORM, form("scene", b"1", form("scene", b"2")[:-10]), MalformedForm, "more than 1 files"),
        ("image/tiff", b"\xff\xd8\xff\xe0 a JPEG", NotAScene, "start with ff d8 ff e0, no TIFF"),
        ("image/tiff", bytes(1001), BodyTooLarge, "more than 1000 bytes.*chipvote map FILE"),
    ],
)
def test_what_is_none_is_refused(content_type: str, body: bytes, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=said):
        read(content_type, body)


def test_its_bytes_count_in_the_budget_of_all_bodies() -> None:
    budget = Budget(3000)
    budget.taken_bytes = 1000
    read("image/tiff", b"II*\0" * 250, budget)
    assert budget.taken_bytes == 1000, "given back"


def test_without_a_descriptor_it_may_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(_: str) -> int:
        raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.setattr(os, "memfd_create", none)
    with pytest.raises(OutOfMemory, match="send it again"):
        new_file()
