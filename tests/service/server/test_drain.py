"""Answers given before the body was read, as seen by clients that write all before they read."""

import http.client
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
import pytest

from service.server import drain
from tests.kit.fakes import RED, encoded, picture

RED_PNG = encoded(picture(RED), "PNG")
LARGE = bytes(5 << 20)  # more than the limit
PNG = {"Content-Type": "image/png"}


def address(client: httpx2.Client) -> tuple[str, int]:
    return client.base_url.host, client.base_url.port or 80


@contextmanager
def connected(client: httpx2.Client, head: str) -> Iterator[socket.socket]:
    """A connection over which a request's head went already."""
    with socket.create_connection(address(client), timeout=120) as connection:
        connection.sendall(head.replace("\n", "\r\n").encode() + b"Host: x\r\n\r\n")
        yield connection


def read_to_end(connection: socket.socket) -> bytes:
    """All that comes until the service closes."""
    pieces = []
    while piece := connection.recv(1 << 16):
        pieces.append(piece)
    return b"".join(pieces)


EARLY = [
    ("POST", "/predict", {"Content-Type": "application/octet-stream"}, 415),
    ("POST", "/predict", PNG | {"Content-Encoding": "br"}, 415),
    ("POST", "/predict", PNG, 413),
    ("POST", "/predict", {"Content-Type": "multipart/form-data; boundary=x"}, 413),
    ("POST", "/predict", {"Content-Type": "multipart/form-data"}, 400),
    ("POST", "/predict?format=gif", PNG, 422),
    ("POST", "/preview", {}, 415),
    ("POST", "/preview", PNG, 413),
    ("POST", "/nowhere", {}, 404),
    ("POST", "/labels", {}, 405),
    ("POST", "/docs-files/swagger-ui.css", {}, 405),
    ("DELETE", "/predict", {}, 405),
    ("POST", "/predict/", PNG, 307),
    ("GET", "/labels", {}, 200),
    ("HEAD", "/labels", {}, 200),
]


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(("method", "path", "headers", "status"), EARLY)
def test_every_early_answer_arrives_before_the_connection_closes(
    client: httpx2.Client, method: str, path: str, headers: dict[str, str], status: int, chunked: bool
) -> None:
    if chunked and "boundary" in headers.get("Content-Type", ""):
        status = 400  # it is seen to be no form before it is seen to be too long
    for _ in range(2):
        connection = http.client.HTTPConnection(*address(client), timeout=120)
        sent = {**headers, "Connection": "close"} | ({"Transfer-Encoding": "chunked"} if chunked else {})
        body = [LARGE[:1000], LARGE] if chunked else LARGE
        connection.request(method, path, body, sent, encode_chunked=chunked)
        answer = connection.getresponse()
        content = answer.read()
        if method != "HEAD":
            assert len(content) == int(answer.headers["content-length"])
        assert answer.status == status
        connection.close()


def test_the_connection_stays_of_use_after_an_early_answer(client: httpx2.Client) -> None:
    connection = http.client.HTTPConnection(*address(client), timeout=120)
    for _ in range(3):
        connection.request("POST", "/predict", LARGE, PNG)
        assert connection.getresponse().read().startswith(b"{")
        kept = connection.sock
        connection.request("POST", "/predict", RED_PNG, PNG)
        answer = connection.getresponse()
        assert (answer.status, connection.sock) == (200, kept)
        answer.read()
    connection.close()


def test_requests_one_after_the_other_without_waiting_are_answered_in_order(client: httpx2.Client) -> None:
    first = f"POST /predict HTTP/1.1\nContent-Type: text/plain\nContent-Length: {len(LARGE)}\n"
    second = "GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with connected(client, first) as connection:
        connection.sendall(LARGE + second.encode())
        answers = read_to_end(connection)
    assert answers.count(b"HTTP/1.1 ") == 2
    assert answers.index(b"HTTP/1.1 415") < answers.index(b"HTTP/1.1 200")


def test_who_asks_whether_to_send_a_body_is_told_and_not_waited_for(
    client: httpx2.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain, "SILENCE_S", 100)
    began_s = time.monotonic()
    head = "POST /predict HTTP/1.1\nExpect: 100-continue\nContent-Type: text/plain\nContent-Length: 9000\n"
    with connected(client, head) as connection:
        answer = read_to_end(connection)
    assert answer.startswith(b"HTTP/1.1 415")
    assert b"connection: close" in answer
    assert time.monotonic() - began_s < 60


def test_who_asks_and_is_wanted_is_told_to_go_on(client: httpx2.Client) -> None:
    head = "POST /predict HTTP/1.1\nExpect: 100-continue\nContent-Type: image/png\nConnection: close\n"
    with connected(client, head + f"Content-Length: {len(RED_PNG)}\n") as connection:
        assert connection.recv(1 << 16) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(RED_PNG)
        assert read_to_end(connection).startswith(b"HTTP/1.1 200")


def test_the_answer_comes_at_once_and_a_silent_client_is_left(
    client: httpx2.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain, "SILENCE_S", 4)
    head = "POST /predict HTTP/1.0\nContent-Type: text/plain\nContent-Length: 9000\n"
    with connected(client, head) as connection:
        began_s = time.monotonic()
        connection.sendall(b"half")
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 415")
        assert time.monotonic() - began_s < 3.5
        read_to_end(connection)
        assert 3.9 < time.monotonic() - began_s < 60


@pytest.mark.parametrize("bound", ["MOST_BYTES", "MOST_S"])
def test_a_body_without_an_end_is_left_at_a_bound(
    client: httpx2.Client, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    monkeypatch.setattr(drain, bound, 1 if bound == "MOST_S" else 1 << 20)
    head = "POST /predict HTTP/1.1\nContent-Type: text/plain\nTransfer-Encoding: chunked\n"
    with connected(client, head) as connection:
        answer = connection.recv(1 << 16)
        assert answer.startswith(b"HTTP/1.1 415")
        assert b"connection: close" in answer
        sent = 0
        with pytest.raises((ConnectionError, TimeoutError)):
            while sent < 4 << 30:
                connection.sendall(b"10000\r\n" + bytes(1 << 16) + b"\r\n")
                sent += 1 << 16
    if bound == "MOST_BYTES":
        assert sent < 32 << 20  # and what lies in the sockets' buffers


def test_even_an_unforeseen_error_is_answered_after_the_body(
    client: httpx2.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr("service.server.routes.chips.read_uploads", broken)
    for path in ("/predict", "/preview"):
        connection = http.client.HTTPConnection(*address(client), timeout=120)
        connection.request("POST", path, LARGE, {**PNG, "Connection": "close"})
        answer = connection.getresponse()
        assert answer.status == 500
        assert b"secret" not in answer.read()
        connection.close()


def test_what_is_no_http_is_still_refused(client: httpx2.Client) -> None:
    with socket.create_connection(address(client), timeout=120) as connection:
        connection.sendall(b"HELLO\r\n\r\n")
        assert read_to_end(connection).startswith(b"HTTP/1.1 400")
