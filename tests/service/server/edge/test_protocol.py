"""Each bound of a connection, broken over a real socket; limits so small that it takes no time."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import httpx2
import pytest

from service.settings import Settings
from tests.kit.fakes import RED, encoded, picture
from tests.kit.serving import serving
from tests.kit.wire import HEAD, connected, problem_of, read_to_end, seconds_to_end

LIVE = f"{HEAD}\r\n".encode()
CHUNKED = (
    b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n"
)
POST = b"POST / HTTP/1.1\r\nHost: x\r\n"
RED_PNG = encoded(picture(RED), "PNG")


OPEN = {"open": True}  # so that it answers to any name
FEW = {"max_connections": 12, "max_connections_per_address": 8}


@pytest.fixture(scope="module")
def edge(settings: Settings) -> Iterator[httpx2.Client]:
    """A service with tight limits."""
    tight = {
        "max_url_bytes": 500,
        "max_header_bytes": 2000,
        "max_headers": 20,
        "header_s": 1,
        "idle_s": 2,
        "stall_s": 1,
    }
    with serving(settings.model_copy(update=OPEN | FEW | tight)) as client:
        yield client


@pytest.fixture(scope="module")
def patient(settings: Settings) -> Iterator[httpx2.Client]:
    """A service that gives clients the time that it does by default."""
    with serving(settings.model_copy(update=OPEN)) as client:
        yield client


def answer(client: httpx2.Client, sent: bytes) -> bytes:
    with connected(client, sent) as wire:
        return read_to_end(wire)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


MALFORMED = {
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "a malformed first line": b"GET / HTTP/1.1 x\r\nHost: x\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "a host with a path": b"GET / HTTP/1.1\r\nHost: x/y\r\n\r\n",
    "length and chunks": POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
    "chunks and length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
    "two lengths": POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
    "a length with a sign": POST + b"Content-Length: +3\r\n\r\nabc",
    "chunks in HTTP/1.0": b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a coding that is not the last": POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n",
    "bare line feeds": b"GET / HTTP/1.1\nHost: x\n\n",
    "a bare line feed before": b"\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "a bare line feed after a header": b"GET / HTTP/1.1\r\nHost: x\nA: b\r\n\r\n",
    "a bare line feed in a chunk": CHUNKED + b"1\na\r\n0\r\n\r\n",
    "a bare carriage return": b"GET / HTTP/1.1\r\nHost: x\r\nA: b\rc\r\n\r\n",
    "a folded header": b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n",
    "a space before the colon": b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
    "a space before the name": b"GET / HTTP/1.1\r\n Host: x\r\n\r\n",
    "NUL in a value": b"GET / HTTP/1.1\r\nHost: x\r\nA: b\0c\r\n\r\n",
    "NUL in a name": b"GET / HTTP/1.1\r\nHost: x\r\nA\0: b\r\n\r\n",
    "NUL in the address": b"GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n",
    "HTTP/0.9": b"GET /\r\n\r\n",
    "HTTP/0.9 with headers": b"GET /\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/2 in name": b"GET / HTTP/2.0\r\nHost: x\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a tunnel": b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n",
    "a negative chunk": CHUNKED + b"-1\r\na\r\n0\r\n\r\n",
    "tiny chunks": CHUNKED + 2000 * chunk(b"a"),
    "long chunk extensions": CHUNKED + b"1;" + 5000 * b"a" + b"\r\na\r\n0\r\n\r\n",
    "long trailers": CHUNKED + b"0\r\n" + 600 * b"A: bcdefg\r\n" + b"\r\n",
    "many trailers": CHUNKED + b"0\r\n" + 11 * b"A: b\r\n" + b"\r\n",
    "an endless trailer": CHUNKED + b"0\r\nA: " + 5000 * b"b",
}


@pytest.mark.parametrize("sent", MALFORMED.values(), ids=MALFORMED)
def test_what_is_no_plain_request_is_refused(edge: httpx2.Client, sent: bytes) -> None:
    assert problem_of(answer(edge, sent))["status"] == 400


@pytest.mark.parametrize("step", [1, 7])
def test_a_request_in_pieces_is_read_as_one(patient: httpx2.Client, step: int) -> None:
    """Whatever the pieces, also two requests that a piece joins."""
    body = chunk(RED_PNG[:40]) + chunk(RED_PNG[40:]) + b"0\r\nTrailer: lost\r\n\r\n"
    sent = CHUNKED + body + LIVE.replace(b"x\r\n", b"x\r\nConnection: close\r\n", 1)
    with connected(patient) as wire:
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(0, len(sent), step):
            wire.sendall(sent[at : at + step])
        answers = read_to_end(wire)
    assert answers.count(b"HTTP/1.1 200 OK") == 2
    assert b'"labels":["reddish"]' in answers and answers.endswith(b'{"status":"live"}')


def test_pipelined_requests_are_answered_in_turn(patient: httpx2.Client) -> None:
    post = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n"
    two = post % len(RED_PNG) + RED_PNG + LIVE
    last = LIVE.replace(b"x\r\n", b"x\r\nConnection: close\r\n", 1)
    answers = answer(patient, 50 * two + last)
    assert answers.count(b'"labels":["reddish"]') == 50
    assert answers.count(b'{"status":"live"}') == 51


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /" + 501 * b"a" + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (b"GET /" + 5000 * b"a", 414),
        (LIVE[:-2] + b"A: " + 2000 * b"a" + b"\r\n\r\n", 431),
        (LIVE[:-2] + b"A: " + 90_000 * b"a", 431),
        (LIVE[:-2] + 20 * b"A: b\r\n" + b"\r\n", 431),
        (LIVE[:-2] + 50_000 * b"A: b\r\n", 431),
        (20_000 * b"\r\n", 431),
    ],
    ids=["address", "endless address", "header", "endless header", "headers", "endless headers", "line ends"],
)
def test_a_head_is_bounded(edge: httpx2.Client, sent: bytes, status: int) -> None:
    assert problem_of(answer(edge, sent))["status"] == status


def test_refusals_are_counted(edge: httpx2.Client) -> None:
    def count() -> float:
        with httpx2.Client(base_url=edge.base_url, timeout=60) as another:
            lines = another.get("/metrics").text.splitlines()
        counted = 'chipvote_requests_total{route="unknown",status="414"}'
        return next((float(line.split()[-1]) for line in lines if line.startswith(counted)), 0)

    before = count()
    answer(edge, b"GET /" + 5000 * b"a")
    assert count() == before + 1


def test_a_long_head_after_a_short_one_is_refused_too(edge: httpx2.Client) -> None:
    with connected(edge, LIVE) as wire:
        assert b"live" in wire.recv(1 << 16)
        wire.sendall(b"GET /" + 5000 * b"a")
        assert problem_of(read_to_end(wire))["status"] == 414


def test_a_head_that_creeps_is_answered_in_time(edge: httpx2.Client) -> None:
    with connected(edge, LIVE) as wire:
        assert b"live" in wire.recv(1 << 16)
        began_s = time.monotonic()
        wire.settimeout(0.2)  # so the whole head would take 8 s
        answered = b""
        for byte in LIVE * 10:
            wire.sendall(bytes([byte]))
            try:
                answered = wire.recv(1 << 16)
                break
            except TimeoutError:
                continue
        assert problem_of(answered)["status"] == 408
        assert 0.9 < time.monotonic() - began_s < 20


@pytest.mark.parametrize("sent", [b"", LIVE], ids=["silent", "kept alive"])
def test_a_connection_that_waits_is_cut_in_time(edge: httpx2.Client, sent: bytes) -> None:
    began_s = time.monotonic()
    with connected(edge, sent) as wire:
        assert not sent or b"live" in wire.recv(1 << 16)
        assert read_to_end(wire) == b""
    assert 1.9 < time.monotonic() - began_s < 20


@pytest.mark.parametrize("first", [b"", RED_PNG[:50]], ids=["never", "in part"])
@pytest.mark.parametrize("path", ["predict", "preview"])
def test_a_body_that_stalls_is_answered_in_time(edge: httpx2.Client, path: str, first: bytes) -> None:
    began_s = time.monotonic()
    with connected(edge, CHUNKED.replace(b"predict", path.encode())) as wire:
        wire.sendall(chunk(first) if first else b"")
        answered = read_to_end(wire)
    assert b" 408 " in answered and b"connection: close" in answered
    assert 0.9 < time.monotonic() - began_s < 20


def test_a_body_that_creeps_is_answered_in_time_and_a_steady_one_is_read(settings: Settings) -> None:
    form = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 100000\r\n\r\n"
    with serving(settings.model_copy(update=OPEN | {"stall_s": 2})) as client:
        for byte_count, pieces in ((1, 200), (2500, 30)):
            answered = b""
            with connected(client, form) as wire:
                wire.settimeout(0.1)
                for _ in range(pieces):
                    wire.sendall(bytes(byte_count))
                    try:
                        answered = wire.recv(1 << 16)
                        break
                    except TimeoutError:
                        continue
            assert b" 408 " in answered if byte_count == 1 else answered == b""


def test_who_never_reads_is_cut_and_holds_no_memory(edge: httpx2.Client) -> None:
    """Of requests for a large file: one answer waits, and no request is parsed meanwhile."""
    get = b"GET /docs-files/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n"
    with connected(edge) as wire:
        wire.settimeout(0.2)
        sent_bytes = 0
        began_s = time.monotonic()
        with pytest.raises((ConnectionError, TimeoutError)):
            while sent_bytes < 1 << 28:
                sent_bytes += wire.send(1000 * get)
        wire.settimeout(60)
        with pytest.raises(ConnectionError):  # it is cut while it could send no more
            while True:
                wire.sendall(1000 * get)
        assert time.monotonic() - began_s < 50


def test_an_answer_that_is_being_taken_gives_way_to_nobody(settings: Settings) -> None:
    name = b"a" * 4000  # which is answered
    head = b'--edge\r\nContent-Disposition: form-data; name="chip"; filename="%s"\r\n\r\n' % name
    body = 1000 * (head + RED_PNG + b"\r\n") + b"--edge--\r\n"
    kind = b"Content-Type: multipart/form-data; boundary=edge\r\nContent-Length: %d\r\n\r\n" % len(body)
    roomy = {"max_connections_per_address": 1, "idle_s": 1, "max_body_bytes": 1 << 24, "max_chips": 1000}
    with serving(settings.model_copy(update=OPEN | roomy)) as client, socket.socket() as wire:
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        wire.settimeout(60)
        wire.connect((client.base_url.host, client.base_url.port or 80))
        wire.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\n" + kind + body)
        answered = wire.recv(10)
        assert b" 503 " in answer(client, LIVE)
        answered += read_to_end(wire)
    said, _, rows = answered.partition(b"\r\n\r\n")
    assert f"content-length: {len(rows)}\r\n" in said.decode().lower() + "\r\n"
    assert len(rows) > 1 << 22  # more than the system takes at once


def test_one_address_has_only_its_share_of_the_connections(settings: Settings) -> None:
    """All of them busy, or nobody is refused: those that wait give way."""
    busy = CHUNKED + chunk(RED_PNG[:50])
    limits = OPEN | FEW | {"idle_s": 300, "header_s": 300, "stall_s": 5}
    with serving(settings.model_copy(update=limits)) as edge, ExitStack() as stack:
        silent = [stack.enter_context(connected(edge)) for _ in range(20)]
        assert [seconds_to_end(wire) < 60 for wire in silent[:10]] == [True] * 10
        with httpx2.Client(base_url=edge.base_url, timeout=60) as another:
            assert another.get("/health/live").status_code == 200
        elsewhere = httpx2.HTTPTransport(local_address="127.0.0.2")
        watching = stack.enter_context(httpx2.Client(base_url=edge.base_url, timeout=60, transport=elsewhere))
        working = [stack.enter_context(connected(edge, busy)) for _ in range(8)]
        until_s = time.monotonic() + 60
        while "chipvote_body_bytes 400.0" not in watching.get("/metrics").text:
            assert time.monotonic() < until_s
        problem = problem_of(answer(edge, LIVE))
        assert problem["status"] == 503 and "your address" in problem["detail"]
        assert all(b" 408 " in wire.recv(1 << 16) for wire in working)
        with httpx2.Client(base_url=edge.base_url, timeout=60) as another:
            assert another.get("/health/live").status_code == 200


def test_the_host_decides_no_redirect(edge: httpx2.Client) -> None:
    with httpx2.Client(base_url=edge.base_url, timeout=60) as another:
        for headers in ({"Host": "evil.example"}, {"X-Forwarded-Host": "evil.example"}):
            redirect = another.get("/labels/", headers=headers)
            assert redirect.headers["location"] == "../labels"
            assert "evil" not in redirect.text + str(redirect.headers)
