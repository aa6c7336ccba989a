"""The compose file's edge, its nginx with its script and its configuration, before a service."""

import http.client
import re
import shutil
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx2
import pytest

from service.client import Client
from service.settings import Settings
from tests.kit.fakes import RED, encoded, picture
from tests.kit.nginx import edge, needs_nginx
from tests.kit.serving import ROOT

pytestmark = [needs_nginx, pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed")]

RED_PNG = encoded(picture(RED), "PNG")
PNG = {"content-type": "image/png"}
CONFIGURATION = (ROOT / "deploy/edge/nginx.conf").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("edge")


@pytest.fixture(scope="module")
def url(client: httpx2.Client, folder: Path) -> Iterator[str]:
    with edge(folder, f"{client.base_url.host}:{client.base_url.port}") as address:
        yield address


@pytest.fixture(scope="module")
def trust(url: str, folder: Path) -> ssl.SSLContext:
    """Trust in the certificate that the edge made for itself, and in no other."""
    return ssl.create_default_context(cafile=folder / "tls/certificate.pem")


@pytest.fixture
def through(url: str, trust: ssl.SSLContext) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=url, verify=trust, timeout=60) as connected:
        yield connected


def test_answers_come_through_as_the_service_gave_them(through: httpx2.Client, client: httpx2.Client) -> None:
    for path in ("/", "/labels", "/model", "/health/ready", "/openapi.json", "/nowhere"):
        behind, before = (each.get(path, headers={"x-request-id": "one"}) for each in (client, through))
        assert (before.status_code, before.content) == (behind.status_code, behind.content)
        assert before.headers["strict-transport-security"] == "max-age=31536000"
    assert through.post("/predict", content=RED_PNG, headers=PNG).json()["predictions"][0]["labels"] == [
        "reddish"
    ]


@pytest.mark.parametrize("name", ["chips.example", "localhost", "127.0.0.1"])
def test_its_own_certificate_is_for_the_name_that_was_given(
    url: str, trust: ssl.SSLContext, name: str
) -> None:
    port = int(url.rpartition(":")[2])
    with (
        socket.create_connection(("127.0.0.1", port)) as plain,
        trust.wrap_socket(plain, server_hostname=name) as secured,
    ):
        assert secured.version() == "TLSv1.3"


def test_a_certificate_of_yours_is_taken(
    client: httpx2.Client, folder: Path, tmp_path: Path, url: str
) -> None:
    given = tmp_path / "edge/tls"
    given.mkdir(parents=True)
    for name in ("certificate.pem", "key.pem"):  # the other edge's, which this one did not make
        shutil.copy(folder / "tls" / name, given)
    service = f"{client.base_url.host}:{client.base_url.port}"
    with edge(tmp_path, service) as own:
        trust = ssl.create_default_context(cafile=given / "certificate.pem")
        assert httpx2.get(f"{own}/labels", verify=trust, timeout=60).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("POST", "/predict", {"content-type": "application/octet-stream"}, 415),
        ("POST", "/predict", PNG | {"content-encoding": "gzip"}, 415),
        ("POST", "/predict", PNG, 413),
        ("POST", "/nowhere", PNG, 404),
        ("PUT", "/predict", PNG, 405),
    ],
)
def test_an_answer_before_the_body_was_read_arrives(
    through: httpx2.Client, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    large = bytes(5 << 20)  # more than the limit of the tests' service
    for _ in range(3):
        answer = through.request(method, path, headers=headers, content=large)
        assert answer.status_code == status
        assert answer.json()["detail"] != "answered by the proxy before the service"


def test_a_body_beyond_every_limit_is_a_problem(url: str, trust: ssl.SSLContext) -> None:
    with closing(connection(url, trust)) as opened:
        opened.putrequest("POST", "/predict")
        opened.putheader("Content-Type", "image/png")
        opened.putheader("Content-Length", str((160 << 20) + 1))
        opened.endheaders()
        answer = opened.getresponse()
        assert (answer.status, answer.headers["content-type"]) == (413, "application/problem+json")


def test_lines_of_a_scene_go_out_as_they_come(tmp_path: Path) -> None:
    """Of a service that asks for that, and pauses amid its answer until its first line arrived."""
    head = b"HTTP/1.1 200 OK\r\nX-Accel-Buffering: no\r\nTransfer-Encoding: chunked\r\n\r\n"
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        edge(tmp_path, f"127.0.0.1:{listener.getsockname()[1]}") as url,
    ):
        trust = ssl.create_default_context(cafile=tmp_path / "tls/certificate.pem")
        with closing(connection(url, trust)) as opened:
            opened.request("POST", "/predict/scene", body=b"II*")
            served, _ = listener.accept()
            with served:
                served.recv(65536)
                served.sendall(head + b"3\r\n{}\n\r\n")
                answer = opened.getresponse()
                assert answer.readline() == b"{}\n"
                served.sendall(b"5\r\n[{}]\n\r\n0\r\n\r\n")
                assert answer.read() == b"[{}]\n"


def test_limits_are_those_of_the_service() -> None:
    assert f"client_max_body_size {Settings().max_body_bytes >> 20}m;" in CONFIGURATION
    (stalled_s,) = map(int, re.findall(r"client_body_timeout (\d+)s;", CONFIGURATION))
    assert stalled_s <= 60
    (idle_s,) = map(int, re.findall(r"    keepalive_timeout (\d)s;", CONFIGURATION))
    assert idle_s < 5  # uvicorn's own


@pytest.mark.parametrize("path", ["/metrics", "/metrics/", "//metrics", "/%6detrics", "/x/../metrics"])
def test_metrics_stay_inside(through: httpx2.Client, path: str) -> None:
    request = httpx2.Request("GET", f"{through.base_url}")
    request.extensions["target"] = path.encode()
    answer = through.send(request)
    assert (answer.status_code, answer.json()["title"]) == (404, "Not found")


def test_a_head_that_is_too_large_is_a_problem(through: httpx2.Client) -> None:
    answer = through.get("/labels", headers={"x-large": "x" * 40_000})
    assert (answer.status_code, answer.json()["status"]) == (431, 431)
    assert through.get(f"/labels?{'x' * 40_000}").status_code == 414


def test_a_service_that_is_not_there_is_waited_for_by_the_client(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        service = f"127.0.0.1:{nobody.getsockname()[1]}"
    with edge(tmp_path, service) as url:
        trust = ssl.create_default_context(cafile=tmp_path / "tls/certificate.pem")
        answer = httpx2.get(f"{url}/labels", verify=trust, timeout=60)
    assert (answer.status_code, answer.headers["retry-after"]) == (502, "1")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["title"] == "The service is not there"


def test_what_the_service_is_told_of_the_client(tmp_path: Path) -> None:
    """By a service of one request, which says 503 as ours does when it is full."""
    forged = {"X-Forwarded-For": "10.9.8.7", "X-Real-IP": "10.9.8.7", "Forwarded": "for=10.9.8.7"}
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        edge(tmp_path, f"127.0.0.1:{listener.getsockname()[1]}") as url,
    ):
        trust = ssl.create_default_context(cafile=tmp_path / "tls/certificate.pem")
        with closing(connection(url, trust)) as opened:
            opened.request("GET", "/labels", headers={"Host": "chips.example:8443", **forged})
            served, _ = listener.accept()
            with served:
                head = served.recv(65536).decode()
                served.sendall(b"HTTP/1.1 503 Busy\r\nRetry-After: 17\r\nContent-Length: 4\r\n\r\nbusy")
                answer = opened.getresponse()
                assert (answer.status, answer.read()) == (503, b"busy")
                assert answer.headers["retry-after"] == "17"
    assert head.startswith("GET /labels HTTP/1.1\r\nHost: chips.example:8443\r\n")
    assert "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: https\r\n" in head
    assert "10.9.8.7" not in head
    assert "connection: close" not in head.lower()


def test_connections_to_the_service_are_used_again(through: httpx2.Client, client: httpx2.Client) -> None:
    port = client.base_url.port
    for _ in range(3):
        through.get("/health/live")
    open_ones = set(established(port))
    for _ in range(20):
        through.get("/health/live")
    assert set(established(port)) <= open_ones


def test_a_silent_client_is_cut(client: httpx2.Client, tmp_path: Path) -> None:
    shorter = {"client_header_timeout 10s;": "client_header_timeout 1s;"}
    service = f"{client.base_url.host}:{client.base_url.port}"
    with edge(tmp_path, service, changes=shorter) as url:
        trust = ssl.create_default_context(cafile=tmp_path / "tls/certificate.pem")
        with closing(connection(url, trust)) as opened:
            opened.connect()
            opened.sock.settimeout(60)
            opened.sock.sendall(b"GET /labels HTTP/1.1\r\nHost: x\r\n")
            began_s = time.monotonic()
            assert opened.sock.recv(1) in (b"", b"H")
            assert time.monotonic() - began_s < 9


@pytest.mark.parametrize(
    "head",
    [
        "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET /labels HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        "GET /labels HTTP/1.1\r\n\r\n",
        "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n",
        "POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    ],
)
def test_what_two_servers_may_read_in_two_ways_is_refused(url: str, trust: ssl.SSLContext, head: str) -> None:
    with closing(connection(url, trust)) as opened:
        opened.connect()
        opened.sock.settimeout(60)
        opened.sock.sendall(head.encode())
        assert opened.sock.recv(12) in (b"HTTP/1.1 400", b"HTTP/1.1 501")


def test_the_client_works_through_it(
    url: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "red.png").write_bytes(RED_PNG)
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "tls/certificate.pem"))
    (result,) = Client(url).predict([tmp_path / "red.png"])
    assert "labels" in result, result
    assert result["labels"] == ["reddish"]


def test_the_configuration_is_right_in_nginxs_own_eyes(tmp_path: Path, client: httpx2.Client) -> None:
    with edge(tmp_path, f"{client.base_url.host}:{client.base_url.port}"):
        pass
    log = (tmp_path / "error.log").read_text()
    assert [line for line in log.splitlines() if re.search(r"\[(warn|error|crit|alert|emerg)\]", line)] == []


def connection(url: str, trust: ssl.SSLContext) -> http.client.HTTPSConnection:
    return http.client.HTTPSConnection("127.0.0.1", int(url.rpartition(":")[2]), timeout=60, context=trust)


def established(port: int | None) -> list[str]:
    """Return the far ends of connections to a local port."""
    rows = Path("/proc/net/tcp").read_text().splitlines()[1:]
    parts = [row.split() for row in rows]
    return [far for _, near, far, state, *_ in parts if near.endswith(f":{port:04X}") and state == "01"]
