"""What comes back when it is not an answer: against a server that says what a test tells it to."""

import asyncio
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler
from types import SimpleNamespace
from typing import NamedTuple

import httpx2
import pytest

from service.client.transport import ChipvoteError, Exchange
from tests.kit.serving import standing_in

BUSY = '{"type":"about:blank","title":"Overloaded","status":503,"detail":"wait"}'


class Reply(NamedTuple):
    status: int
    body: str = "{}"
    headers: dict[str, str] = {}  # noqa: RUF012


class Said(NamedTuple):
    url: str
    preferred: list[str | None]  # the Prefer headers
    heard: list[str | None]  # the Authorization headers


@contextmanager
def saying(*replies: Reply) -> Iterator[Said]:
    """Serve the replies one by one, the last one for ever."""
    heard: list[str | None] = []
    preferred: list[str | None] = []

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            reply = replies[min(len(heard), len(replies) - 1)]
            preferred.append(self.headers.get("prefer"))
            heard.append(self.headers.get("authorization"))
            self.send_response(reply.status)
            for name, text in {"Content-Length": str(len(reply.body.encode())), **reply.headers}.items():
                self.send_header(name, text)
            self.end_headers()
            self.wfile.write(reply.body.encode())

        do_GET = do_POST = answer

        def log_message(self, *_: object) -> None:
            pass

    with standing_in(Handler) as url:
        yield Said(url, preferred, heard)


@contextmanager
def breaking_off(*begun: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """Serve these beginnings of an answer, one for each request, and reset each connection."""
    heard: list[bytes] = []

    def serve() -> None:
        for beginning in begun:
            connection, _ = listener.accept()
            with connection:
                while not heard_whole(data := connection.recv(65536, socket.MSG_PEEK)):
                    time.sleep(0.01)
                heard.append(connection.recv(len(data)))
                connection.sendall(beginning)
                time.sleep(0.05)  # a reset takes back what was not read
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def heard_whole(data: bytes) -> bool:
        return data.endswith(b"--\r\n")  # of the form

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)  # so that a test that fails ends
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", heard
        thread.join()


def exchange(url: str, patience_s: float = 20, key: str | None = None) -> Exchange:
    return Exchange(url, key, timeout_s=60, connections=2, patience_s=patience_s)


def post(to: Exchange) -> httpx2.Response:
    async def once() -> httpx2.Response:
        async with to.open() as http:
            return await to.post(http, "predict", {}, [("chip", ("a.png", b"a"))])

    return asyncio.run(once())


@pytest.fixture
def waits_s(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits between requests; the client's clock goes on by them, and nobody waits."""
    waits_s: list[float] = []

    async def wait(wait_s: float) -> None:
        waits_s.append(wait_s)

    monkeypatch.setattr("service.client.transport.anyio.sleep", wait)
    clock = SimpleNamespace(monotonic=lambda: sum(waits_s))
    monkeypatch.setattr("service.client.transport.time", clock)
    return waits_s


@pytest.mark.parametrize(
    ("retry_after", "at_least_s", "at_most_s"),
    [
        ("1", 1.0, 1.5),
        (None, 0.25, 0.375),
        ("soon", 0.25, 0.375),
        ("-5", 0.25, 0.375),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 0.25, 0.375),
    ],
)
def test_a_busy_service_is_asked_again_when_it_says(
    retry_after: str | None, at_least_s: float, at_most_s: float, waits_s: list[float]
) -> None:
    headers = {"Retry-After": retry_after} if retry_after else {}
    with saying(Reply(503, BUSY, headers), Reply(200)) as said:
        assert post(exchange(said.url)).status_code == 200
    (wait_s,) = waits_s
    assert at_least_s <= wait_s <= at_most_s


def test_a_busy_service_may_name_a_date(waits_s: list[float]) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    with saying(Reply(503, BUSY, {"Retry-After": date}), Reply(200)) as said:
        assert post(exchange(said.url, patience_s=100)).status_code == 200
    (wait_s,) = waits_s
    assert 30 <= wait_s <= 90


def test_patience_ends_with_what_the_service_said(waits_s: list[float]) -> None:
    with saying(Reply(503, BUSY)) as said:
        with pytest.raises(ChipvoteError, match="Overloaded: wait") as raised:
            post(exchange(said.url, patience_s=1.5))
        assert sum(waits_s) <= 1.5
        assert len(said.heard) == len(waits_s) + 1 >= 2
    assert raised.value.problem and raised.value.problem["status"] == 503


def test_an_address_that_never_answered_is_not_waited_for(waits_s: list[float]) -> None:
    with saying(Reply(200)) as said:
        pass
    with pytest.raises(ChipvoteError, match=r"no answer .*; is the service running there\?"):
        post(exchange(said.url))
    assert waits_s == []


def test_a_service_that_has_gone_may_come_back(waits_s: list[float]) -> None:
    with saying(Reply(200)) as said:
        known = exchange(said.url, patience_s=1)
        assert post(known).status_code == 200
    with pytest.raises(ChipvoteError, match="no answer"):
        post(known)
    assert 0 < sum(waits_s) <= 1


def test_the_key_is_sent_and_never_told() -> None:
    with saying(Reply(401, "no")) as said:
        with pytest.raises(ChipvoteError) as raised:
            exchange(said.url, key="s3cret").ask("GET", "labels")
        assert said.heard[0] == "Bearer s3cret"
    assert "s3cret" not in str(raised.value)
    assert "401 Unauthorized: something between here and the service answered so" in str(raised.value)
    assert "give it: Client(url, key=…), --key or CHIPVOTE_KEY" in str(raised.value)


def test_a_page_is_no_answer() -> None:
    with (
        saying(Reply(200, "<html>", {"Content-Type": "text/html"})) as said,
        pytest.raises(ChipvoteError, match=r"text/html came where JSON was expected; is .* where Chipvote"),
    ):
        exchange(said.url).ask("GET", "labels")


def test_a_redirection_names_the_address_to_give() -> None:
    with (
        saying(Reply(301, "", {"Location": "https://elsewhere/labels"})) as said,
        pytest.raises(ChipvoteError, match="it leads to https://elsewhere/labels"),
    ):
        exchange(said.url).ask("GET", "labels")


@pytest.mark.parametrize("status", [429, 502, 504])
def test_what_proxies_say_while_a_service_restarts_is_waited_for(status: int) -> None:
    with saying(Reply(status, "<html>"), Reply(200)) as said:
        assert post(exchange(said.url)).status_code == 200


def test_an_answer_that_breaks_off_is_asked_for_again() -> None:
    with saying(Reply(200), Reply(200, "{", {"Content-Length": "9"}), Reply(200)) as said:
        known = exchange(said.url)
        post(known)
        assert post(known).text == "{}"


def test_a_service_that_says_nothing_is_told_with_the_setting() -> None:
    silent = socket.create_server(("127.0.0.1", 0))
    with silent, pytest.raises(ChipvoteError, match=r"not a byte for 0\.2 s; .* set timeout_s"):
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        Exchange(url, None, timeout_s=0.2, connections=1, patience_s=1).ask("GET", "labels")


@pytest.mark.parametrize(
    "url",
    ["", "localhost:8000", "ftp://host", "http://", "not an address", "http://host:abc", "http://[::1",
     "http://host/?a=b", "http://host/#a"],
)  # fmt: skip
def test_what_is_no_address_is_refused_at_once(url: str) -> None:
    with pytest.raises(ValueError, match="is no address"):
        exchange(url)


@pytest.mark.parametrize("key", ["two\nlines", "schlüssel"])
def test_what_is_no_key_is_refused_and_not_told(key: str) -> None:
    with pytest.raises(ValueError, match="characters that no header can carry") as raised:
        exchange("http://127.0.0.1:9", key=key)
    assert key not in str(raised.value)


def test_a_password_in_the_address_is_used_and_not_told() -> None:
    with saying(Reply(500, "no")) as said:
        with pytest.raises(ChipvoteError) as raised:
            exchange(said.url.replace("//", "//user:s3cret@")).ask("GET", "labels")
        assert said.heard[0] == "Basic dXNlcjpzM2NyZXQ="
    assert "s3cret" not in str(raised.value)
    with pytest.raises(ValueError, match="not both"):
        exchange("http://user:s3cret@127.0.0.1:9", key="key")


def test_a_deadline_is_sent_along() -> None:
    with saying(Reply(200)) as said:
        for deadline_s in (None, 7):
            post(Exchange(said.url, None, timeout_s=60, connections=2, patience_s=1, deadline_s=deadline_s))
        assert said.preferred == [None, "wait=7"]


CUT = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@pytest.mark.parametrize("begun", [b"", CUT[:20], CUT], ids=["nothing", "half a head", "half a body"])
def test_a_connection_that_broke_is_made_again_even_the_first(begun: bytes) -> None:
    with breaking_off(begun, WHOLE) as (url, heard):
        assert post(exchange(url)).json() == {}
    assert [b"filename" in request for request in heard] == [True, True]


def test_who_never_answers_is_not_asked_for_ever() -> None:
    with (
        breaking_off(*[b""] * 4) as (url, heard),
        pytest.raises(ChipvoteError, match=r"no answer .*; is the service running there\?"),
    ):
        post(exchange(url, patience_s=60))
    assert len(heard) == 4


@pytest.mark.parametrize("status", [502, 503, 504])
def test_what_a_proxy_says_of_a_service_that_has_gone_is_waited_out(status: int) -> None:
    page = Reply(status, "<html>", {"Content-Type": "text/html"})
    with saying(page, Reply(200)) as said:
        assert post(exchange(said.url)).status_code == 200
    assert len(said.heard) == 2
