"""Whom the compose file's nginx passes over, and what it sends twice: what labels, and no more."""

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx2
import pytest

from tests.kit.nginx import edge, needs_nginx

pytestmark = needs_nginx

DIES, FULL, ANSWERS = 0, 503, 200
SENT = b"a chip"


@contextmanager
def service(kind: int, heard: list[bytes]) -> Iterator[str]:
    """Run a service that reads each request and then answers so, or ends the connection."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            heard.append(self.rfile.read(int(self.headers.get("content-length", 0))))
            if kind == DIES:
                return
            self.send_response(kind)
            self.send_header("Content-Length", "0")
            self.send_header("Retry-After", "17")
            self.end_headers()

        do_GET = do_POST = answer

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def ask(
    folder: Path, kinds: Sequence[int], method: str, path: str, times: int = 8
) -> tuple[list[httpx2.Response], list[bytes]]:
    """Ask services of these kinds through the edge; return the answers and what came to them."""
    heard: list[bytes] = []
    with ExitStack() as services:
        addresses = [services.enter_context(service(kind, heard)) for kind in kinds]
        with edge(folder, *addresses) as url, httpx2.Client(verify=False, timeout=60) as http:
            return [http.request(method, f"{url}{path}", content=SENT) for _ in range(times)], heard


@pytest.mark.parametrize("fault", [DIES, FULL], ids=["dies", "full"])
@pytest.mark.parametrize(
    "path", ["/predict", "/predict?members=true", "/predict/scene", "/preview", "/layer"]
)
def test_what_changes_nothing_is_sent_to_another(tmp_path: Path, path: str, fault: int) -> None:
    answers, heard = ask(tmp_path, [fault, fault, ANSWERS], "POST", path)
    assert [answer.status_code for answer in answers] == [200] * len(answers)
    assert set(heard) == {SENT}  # whole, each time


@pytest.mark.parametrize("path", ["/swap?bundle=a", "/shadow", "/predictions", "/other"])
def test_anything_else_is_sent_once(tmp_path: Path, path: str) -> None:
    answers, heard = ask(tmp_path, [DIES, ANSWERS], "POST", path)
    assert Counter(answer.status_code for answer in answers).keys() == {200, 502}
    assert len(heard) == len(answers)


def test_where_all_are_full_each_is_told_when_to_come_again(tmp_path: Path) -> None:
    """And never that nobody is there, however many were refused before."""
    answers, heard = ask(tmp_path, [FULL] * 3, "POST", "/predict", times=20)
    assert [(answer.status_code, answer.headers["retry-after"]) for answer in answers] == [(503, "17")] * 20
    assert len(heard) == 3 * len(answers)


def test_a_chip_of_which_services_die_is_given_to_no_more_than_three(tmp_path: Path) -> None:
    answers, heard = ask(tmp_path, [DIES] * 4, "POST", "/predict", times=1)
    assert (answers[0].status_code, answers[0].headers["retry-after"]) == (502, "1")
    assert len(heard) == 3


def test_an_address_where_nobody_listens_is_passed_over(tmp_path: Path) -> None:
    """As that of a service which is still loading: it listens when it is ready."""
    heard: list[bytes] = []
    with service(ANSWERS, heard) as gone:
        pass
    with (
        service(ANSWERS, heard) as there,
        edge(tmp_path, gone, there) as url,
        httpx2.Client(verify=False, timeout=60) as http,
    ):
        answers = [http.post(f"{url}/swap", content=SENT) for _ in range(8)]
    assert [answer.status_code for answer in answers] == [200] * 8
