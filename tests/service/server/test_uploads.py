import asyncio
from collections.abc import Iterable

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from service.contract.errors import (
    BodyTooLarge,
    EncodedBody,
    MalformedForm,
    NoChip,
    Overloaded,
    RequestError,
    UnsupportedBody,
)
from service.server.body_budget import Budget, Share
from service.server.edge.pace import Pace
from service.server.uploads import Upload, read_uploads

FORM = "multipart/form-data; boundary=edge"


def part(name: str, content: bytes, filename: str | None = None) -> bytes:
    disposition = f'form-data; name="{name}"' + (f'; filename="{filename}"' if filename is not None else "")
    return b"--edge\r\nContent-Disposition: " + disposition.encode() + b"\r\n\r\n" + content + b"\r\n"


END = b"--edge--\r\n"


def read(
    content_type: str | None,
    chunks: Iterable[bytes],
    *,
    length: int | str | None = None,
    disconnect: bool = False,
    max_body_bytes: int = 1 << 20,
    max_chips: int = 3,
    budget: Budget | None = None,
    **more_headers: str,
) -> list[Upload]:
    """Read uploads from a request whose body arrives in these chunks."""
    headers = [(b"content-type", content_type.encode("latin-1"))] if content_type is not None else []
    headers += [(name.replace("_", "-").encode(), value.encode()) for name, value in more_headers.items()]
    if length is not None:
        headers.append((b"content-length", str(length).encode()))
    messages: list[Message] = [{"type": "http.request", "body": c, "more_body": True} for c in chunks]
    messages.append({"type": "http.disconnect"} if disconnect else {"type": "http.request"})
    remaining = iter(messages)

    async def receive() -> Message:
        return next(remaining)

    request = Request({"type": "http", "method": "POST", "headers": headers}, receive)
    with Share(budget or Budget(1 << 30)) as share:
        reading = read_uploads(
            request, share, Pace(10, 1), max_body_bytes=max_body_bytes, max_chips=max_chips
        )
        return asyncio.run(reading)


def test_a_raw_body_is_one_nameless_chip() -> None:
    assert read("Image/JPEG; charset=x", [b"ab", b"c"]) == [Upload(None, b"abc")]


def test_a_length_of_many_digits_is_read_as_a_number() -> None:
    assert read("image/png", [b"abcde"], length="0" * 5000 + "5") == [Upload(None, b"abcde")]
    with pytest.raises(BodyTooLarge):
        read("image/png", [b"abcde"], length="9" * 5000)


def test_a_form_gives_its_chips_in_order() -> None:
    body = part("chip", b"1", "a.jpg") + part("note", b"hello") + part("other", b"x", "x.jpg")
    body += part("chip", b"2", "a.jpg") + END
    assert read(FORM, [body]) == [Upload("a.jpg", b"1"), Upload("a.jpg", b"2")]


def test_a_form_may_arrive_in_pieces() -> None:
    content = bytes(range(256)) * 20
    body = part("chip", content, "Forêt 森.png") + END
    assert read(FORM, [body[i : i + 1] for i in range(len(body))]) == [Upload("Forêt 森.png", content)]


def test_a_large_chip_is_read_without_touching_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/nonexistent")
    content = bytes(3 << 20)
    body = part("chip", content, "large.tif") + END
    assert read(FORM, [body], max_body_bytes=4 << 20) == [Upload("large.tif", content)]


@pytest.mark.parametrize("content_type", [None, "", "application/json", "image/gif", "text/plain"])
def test_other_content_types_are_refused(content_type: str | None) -> None:
    with pytest.raises(UnsupportedBody, match=r"multipart/form-data.*image/jpeg"):
        read(content_type, [b"{}"])


@pytest.mark.parametrize(
    "body",
    [
        part("image", b"1", "a.jpg") + END,
        part("chip", b"a text field, not a file") + END,
    ],
)
def test_a_form_without_a_chip_is_refused(body: bytes) -> None:
    with pytest.raises(NoChip, match="`chip`"):
        read(FORM, [body])


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", part("chip", b"1", "a.jpg") + END),  # no boundary named
        (FORM, b""),
        (FORM, b"no boundary at all"),
        (FORM, part("chip", b"1", "a.jpg")),  # never closed
        (FORM, (part("chip", b"12345", "a.jpg") + END)[:-20]),
        (FORM, part("chip", bytes(2 << 20), "a.jpg")),  # never closed, and large
        (FORM, part("note", bytes(2 << 20)) + END),  # a text field as long as a file
        (FORM, b"--edge\r\nContent-Disposition: form-data\r\n\r\n1\r\n" + END),  # a part without a name
        (FORM, b"--edge\r\nb\0d: header\r\n\r\n1\r\n" + END),
        (FORM, b"".join(part("chip", b"1", "a.jpg") for _ in range(4)) + END),  # too many
    ],
)
def test_a_malformed_form_is_refused(content_type: str, body: bytes) -> None:
    with pytest.raises(MalformedForm, match="at most 3 files"):
        read(content_type, [body], max_body_bytes=8 << 20)


def test_a_filename_that_json_cannot_spell_is_made_printable() -> None:
    body = part("chip", b"1", r"\\ud800.jpg") + END
    (upload,) = read(FORM + "; charset=unicode_escape", [body])
    assert upload.filename is not None
    upload.filename.encode()


@pytest.mark.parametrize("content_type", [FORM, "image/png"])
def test_a_body_over_the_limit_is_refused_by_its_length_before_it_is_read(content_type: str) -> None:
    with pytest.raises(BodyTooLarge, match="100 bytes"):
        read(content_type, iter(()), length=101, max_body_bytes=100)


@pytest.mark.parametrize("content_type", [FORM, "image/png"])
def test_a_body_that_hides_its_length_is_counted(content_type: str) -> None:
    body = part("chip", bytes(200), "a.jpg") + END
    with pytest.raises(BodyTooLarge):
        read(content_type, [body[:90], body[90:]], max_body_bytes=100)
    with pytest.raises(BodyTooLarge):
        read(content_type, [body[:90], body[90:]], length=50, max_body_bytes=100)


def test_a_body_at_the_limit_is_read() -> None:
    assert read("image/png", [bytes(100)], length=100, max_body_bytes=100) == [Upload(None, bytes(100))]


def test_a_client_that_leaves_is_no_request_error() -> None:
    for content_type in (FORM, "image/png"):
        with pytest.raises(ClientDisconnect) as caught:
            read(content_type, [part("chip", b"1", "a.jpg")], disconnect=True)
        assert not isinstance(caught.value, RequestError)


@pytest.mark.parametrize("content_type", [FORM, "image/png", "text/plain"])
@pytest.mark.parametrize(
    ("coding", "named"),
    [
        ("gzip", "gzip"),
        ("GZIP", "gzip"),
        ("deflate, br", "deflate, br"),
        ("identity, zstd", "zstd"),
        ("unheard-of", "unheard-of"),
    ],
)
def test_an_encoded_body_is_refused_by_its_coding(content_type: str, coding: str, named: str) -> None:
    with pytest.raises(EncodedBody, match=rf"encoded \({named}\).*as they are"):
        read(content_type, iter(()), content_encoding=coding)
    with pytest.raises(EncodedBody, match=rf"encoded \({named}\)"):
        read(content_type, iter(()), transfer_encoding=f"{coding}, chunked".replace("identity, ", ""))


@pytest.mark.parametrize("coding", ["", "identity", "Identity", " , identity,"])
def test_a_body_as_it_is_may_say_so(coding: str) -> None:
    chips = [Upload(None, b"abc")]
    assert read("image/png", [b"abc"], content_encoding=coding, transfer_encoding="chunked") == chips


def test_what_a_body_claims_must_fit_what_others_leave() -> None:
    budget = Budget(1000)
    with Share(budget) as other:
        other.take(400)
        with pytest.raises(Overloaded):
            read("image/png", iter(()), length=301, budget=budget)
        assert read("image/png", [bytes(300)], length=300, budget=budget)
    assert budget.taken_bytes == 0


@pytest.mark.parametrize("content_type", [FORM, "image/png"])
def test_a_body_that_hides_its_length_is_refused_at_the_byte_too_many(content_type: str) -> None:
    pieces = [part("chip", bytes(100), "a.jpg"), bytes(300), bytes(300), END]
    budget = Budget(1000)
    with pytest.raises(Overloaded):
        read(content_type, pieces, budget=budget)
    assert budget.taken_bytes == 0
