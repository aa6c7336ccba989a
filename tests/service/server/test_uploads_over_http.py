"""Bodies on the wire that stall, break off, or come in another coding or for another protocol."""

import asyncio
import gzip
import io
import socket
from collections import Counter
from contextlib import ExitStack

import httpx2
import pytest
from starlette.requests import Request
from starlette.types import Message

from service.contract.errors import (
    NotReady,
)
from service.server.body_budget import Budget, Share
from service.server.edge.pace import Pace
from service.server.uploads import read_uploads
from service.settings import Settings
from tests.kit.fakes import RED, encoded, picture
from tests.kit.serving import serving
from tests.service.server.test_problems import assert_problem


def test_bodies_that_stall_leave_room_for_small_ones_and_are_left(settings: Settings) -> None:
    """Sixteen bodies of almost the limit, where there is room for two."""
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
        serving(settings.model_copy(update={"max_inflight_bytes": most_bytes, "stall_s": 5})) as client,
        ExitStack() as stack,
    ):
        connections = []
        for index in range(16):
            address = (client.base_url.host, client.base_url.port or 80)
            connections.append(stack.enter_context(socket.create_connection(address, timeout=120)))
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
    """Sent in one piece: the server itself refuses a body that comes later, as no HTTP."""
    body = encoded(picture(RED), "PNG")
    head = (
        f"POST /predict HTTP/1.1\r\nHost: chips\r\nConnection: Upgrade, close\r\nUpgrade: {protocol}\r\n"
        f"Content-Type: image/png\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection((client.base_url.host, client.base_url.port), timeout=120) as connection:
        connection.sendall(head.encode() + body)
        answer = b"".join(iter(lambda: connection.recv(1 << 16), b"")).decode()
    assert answer.startswith("HTTP/1.1 400")
    assert "application/problem+json" in answer
    assert f"(Upgrade: {protocol})" in answer


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
            reading = asyncio.create_task(
                read_uploads(request, share, Pace(10, 1), max_body_bytes=1 << 20, max_chips=3)
            )
            await asyncio.sleep(0.01)
            reading.cancel()
            await reading

    with pytest.raises(NotReady, match="stopped before the body had come"):
        asyncio.run(stop_amid())
