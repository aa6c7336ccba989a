"""Clients that go while they wait, and clients that only stop sending."""

import socket
import struct
import time
from collections.abc import Callable, Iterator

import httpx2
import pytest

from service.settings import Settings
from tests.kit.fakes import LABELS, RED, FakeEnsemble, encoded, picture
from tests.kit.serving import serving
from tests.service.server.test_drain import address, read_to_end

RED_PNG = encoded(picture(RED), "PNG")
HEAD = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
ONE = HEAD + b"Content-Length: %d\r\n\r\n" % len(RED_PNG)
LIVE = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeEnsemble:
    ensemble = FakeEnsemble(len(LABELS))
    monkeypatch.setattr("service.engine.served.open_ensemble", lambda *_: ensemble)
    return ensemble


@pytest.fixture
def held(settings: Settings, fake: FakeEnsemble) -> Iterator[httpx2.Client]:
    """A service with a chip inside that stays there until the gate opens."""
    with serving(settings) as client:
        fake.gate.clear()
        with asking(client):
            assert fake.entered.wait(60)
            yield client
            fake.gate.set()


def asking(client: httpx2.Client, sent: bytes = ONE + RED_PNG) -> socket.socket:
    connection = socket.create_connection(address(client), timeout=120)
    connection.sendall(sent)
    return connection


def long_form() -> bytes:
    """A request whose body is longer than what uvicorn reads ahead."""
    text = b'--edge\r\nContent-Disposition: form-data; name="text"\r\n\r\n' + bytes(900_000) + b"\r\n"
    chip = b'--edge\r\nContent-Disposition: form-data; name="chip"; filename="a.png"\r\n\r\n' + RED_PNG
    body = text + chip + b"\r\n" + chip + b"\r\n--edge--\r\n"
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=edge\r\n"
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


def until(client: httpx2.Client, line: str) -> None:
    deadline_s = time.monotonic() + 60
    while line not in client.get("/metrics").text:
        assert time.monotonic() < deadline_s, f"{line} never was among the metrics"
        time.sleep(0.01)


def close(connection: socket.socket) -> None:
    connection.close()


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@pytest.mark.parametrize("leave", [close, reset])
def test_chips_of_clients_that_are_gone_are_not_computed(
    held: httpx2.Client, fake: FakeEnsemble, leave: Callable[[socket.socket], None]
) -> None:
    connections = [asking(held) for _ in range(30)]
    until(held, "queue_places_taken 31.0")
    for connection in connections:
        leave(connection)
    until(held, 'dropped_chips_total{reason="Incomplete request"} 30.0')
    until(held, "queue_places_taken 1.0")
    until(held, 'chipvote_requests_total{route="/predict",status="499"} 30.0')
    fake.gate.set()
    assert held.post("/predict", content=RED_PNG, headers={"Content-Type": "image/png"}).status_code == 200
    assert sum(fake.batch_sizes) == 2


def test_so_are_those_of_a_long_form(held: httpx2.Client) -> None:
    connections = [asking(held, long_form()) for _ in range(5)]
    until(held, "queue_places_taken 11.0")
    for connection in connections:
        connection.close()
    until(held, 'dropped_chips_total{reason="Incomplete request"} 10.0')
    until(held, "queue_places_taken 1.0")


@pytest.mark.parametrize("wait_s", [0, 1])
def test_a_client_that_has_said_all_is_answered(
    held: httpx2.Client, fake: FakeEnsemble, wait_s: float
) -> None:
    with asking(held) as connection:
        until(held, "queue_places_taken 2.0")
        connection.shutdown(socket.SHUT_WR)
        time.sleep(wait_s)
        fake.gate.set()
        answer = read_to_end(connection)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"connection: close" in head
    assert b"content-length: %d" % len(body) in head
    assert answer.count(b"HTTP/1.1") == 1


def test_requests_in_a_row_are_all_answered_to_who_has_said_all(
    held: httpx2.Client, fake: FakeEnsemble
) -> None:
    with asking(held, ONE + RED_PNG + LIVE + ONE + RED_PNG) as connection:
        connection.shutdown(socket.SHUT_WR)
        time.sleep(0.3)
        fake.gate.set()
        assert read_to_end(connection).count(b"HTTP/1.1 200 OK\r\n") == 3


@pytest.mark.parametrize("sent", [b"", b"POST /predict HT", ONE, ONE + RED_PNG[:20], LIVE])
def test_who_stops_amid_a_request_or_after_its_answer_is_left(client: httpx2.Client, sent: bytes) -> None:
    with asking(client, sent) as connection:
        if sent == LIVE:
            assert connection.recv(1 << 16).endswith(b'{"status":"live"}')
        connection.shutdown(socket.SHUT_WR)
        assert b"200 OK" not in read_to_end(connection)


def test_a_refusal_that_was_read_is_one_whatever_comes_after(settings: Settings) -> None:
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n"
    with serving(settings.model_copy(update={"open": True})) as client:
        connection = asking(client, head % (1 << 40) + bytes(1000))
        assert b" 413 " in connection.recv(1 << 16)
        connection.close()
        until(client, 'chipvote_requests_total{route="/predict",status="413"} 1.0')
