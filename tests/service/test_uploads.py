import asyncio
import gzip
import io
import socket
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack

import httpx2
import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from service import drain, uploads
from service.budget import Budget, Share
from service.errors import (
    BodyTooLarge,
    EncodedBody,
    MalformedForm,
    NoChip,
    NotReady,
    Overloaded,
    RequestError,
    UnsupportedBody,
)
from service.settings import Settings
from service.uploads import Upload, read_uploads
from tests.fakes import RED, encoded, picture
from tests.service.test_problems import assert_problem
from tests.serving import serving

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
        reading = read_uploads(request, share, max_body_bytes=max_body_bytes, max_chips=max_chips)
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
        (FORM + "; charset=undefined", part("chip", b"1", "a.jpg") + END),
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


def test_bodies_that_stall_leave_room_for_small_ones_and_are_left(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sixteen bodies of almost the limit, where there is room for two."""
    monkeypatch.setattr(uploads, "SILENCE_S", 2.0)
    monkeypatch.setattr(drain, "SILENCE_S", 0.1)
    most_bytes = 2 * settings.max_body_bytes
    size_bytes = settings.max_body_bytes - 1
    head = f"POST /%s HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: {size_bytes}\r\n\r\n"
    chip = encoded(picture(RED), "PNG")

    def held(client: httpx2.Client) -> float:
        (line,) = (
            line
            for line in client.get("/metrics").text.splitlines()
            if line.startswith("chipvote_body_bytes ")
        )
        return float(line.split()[1])

    with (
        serving(settings.model_copy(update={"max_inflight_bytes": most_bytes})) as client,
        ExitStack() as stack,
    ):
        connections = []
        for index in range(16):
            address = (client.base_url.host, client.base_url.port or 80)
            connections.append(stack.enter_context(socket.create_connection(address, timeout=10)))
            path = ("predict", "preview")[index % 2]
            connections[-1].sendall((head % path).encode() + bytes(size_bytes * 9 // 10))
        assert 0 < held(client) <= most_bytes
        for _ in range(3):
            answer = client.post("/predict", content=chip, headers={"content-type": "image/png"})
            assert answer.status_code == 200
        answers = [connection.recv(1 << 16).partition(b"\r\n\r\n")[0] for connection in connections]
        statuses = Counter(int(answer.split()[1]) for answer in answers)
        assert statuses.keys() == {503, 408}
        assert all((b"retry-after: 1" in answer) == (b" 503 " in answer) for answer in answers)
        assert held(client) == 0


def test_without_memory_a_body_is_answered_503(
    client: httpx2.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(io.BytesIO):
        def write(self, _: object) -> int:
            raise MemoryError

    files = {"chip": ("a.png", encoded(picture(RED), "PNG"))}
    form = httpx2.Request("POST", "http://x", files=files)
    bodies = [(form.read(), form.headers["content-type"]), (b"1", "image/png")]
    with monkeypatch.context() as patched:
        patched.setattr("io.BytesIO", Full)
        answers = [
            client.post(path, content=body, headers={"content-type": content_type})
            for path in ("/predict", "/preview")
            for body, content_type in bodies
        ]
    for answer in answers:
        assert "short of memory" in assert_problem(answer, 503)["detail"]
        assert answer.headers["retry-after"] == "1"


def test_an_encoded_body_is_answered_with_what_is_accepted(client: httpx2.Client) -> None:
    packed = gzip.compress(encoded(picture(RED), "PNG"))
    headers = {"content-type": "image/png", "content-encoding": "gzip"}
    for path in ("/predict", "/preview"):
        answer = client.post(path, content=packed, headers=headers)
        assert "gzip" in assert_problem(answer, 415)["detail"]
        assert answer.headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("protocol", ["h2c", "TLS/1.0", "websocket"])
def test_a_request_for_another_protocol_is_told_why_its_body_is_lost(
    client: httpx2.Client, protocol: str
) -> None:
    headers = {"connection": "Upgrade", "upgrade": protocol, "content-type": "image/png"}
    response = client.post("/predict", content=encoded(picture(RED), "PNG"), headers=headers)
    assert f"(Upgrade: {protocol})" in assert_problem(response, 400)["detail"]


@pytest.mark.parametrize("pieces", [0, 1])
def test_a_service_that_stops_asks_to_send_again(pieces: int) -> None:
    messages: list[Message] = [{"type": "http.request", "body": b"some", "more_body": True}] * pieces

    async def receive() -> Message:
        if not messages:
            await asyncio.Event().wait()
        return messages.pop()

    async def stop_amid() -> None:
        headers = [(b"content-type", b"image/png")]
        request = Request({"type": "http", "method": "POST", "headers": headers}, receive)
        with Share(Budget(1 << 30)) as share:
            reading = asyncio.create_task(read_uploads(request, share, max_body_bytes=1 << 20, max_chips=3))
            await asyncio.sleep(0.01)
            reading.cancel()
            await reading

    with pytest.raises(NotReady, match="stopped before the body had come"):
        asyncio.run(stop_amid())
