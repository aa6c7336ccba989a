"""One system call for a small answer, of what uvicorn writes."""

from asyncio import Transport
from typing import cast

import httpx2
import pytest

from service.server.edge.whole import Whole
from service.settings import Settings
from tests.kit.serving import serving

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n"


class Wire:
    """What reached the system."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        assert not self.closed
        self.writes.append(data)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def wire() -> Wire:
    return Wire()


def test_a_head_leaves_with_what_follows_it(wire: Wire) -> None:
    answer = Whole(cast(Transport, wire))
    answer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert len(wire.writes) == 1
    answer.write(HEAD)
    assert len(wire.writes) == 1
    answer.write(b"HTTP")
    answer.write(b"/1.1 100 ")
    assert wire.writes[1:] == [HEAD + b"HTTP", b"/1.1 100 "]


@pytest.mark.parametrize("way", ["end", "close"])
def test_a_head_without_a_body_leaves_at_the_end(wire: Wire, way: str) -> None:
    answer = Whole(cast(Transport, wire))
    answer.write(HEAD)
    for _ in range(2):
        getattr(answer, way)()
    assert wire.writes == [HEAD]
    assert wire.closed == (way == "close")


def test_heads_without_bodies_go_out_on_one_connection(settings: Settings, fake: object) -> None:
    with serving(settings) as client:
        for _ in range(3):
            for method in ("HEAD", "GET"):
                answer: httpx2.Response = client.request(method, "/labels", timeout=60)
                assert answer.status_code == 200
