"""Connections on which a test writes and reads bytes itself."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2

HEAD = "GET /health/live HTTP/1.1\r\nHost: x\r\n"


@contextmanager
def connected(client: httpx2.Client, sent: bytes = b"", host: str = "") -> Iterator[socket.socket]:
    """A connection to a client's server, from `host`, over which some bytes went already."""
    server = (client.base_url.host, client.base_url.port or 80)
    with socket.create_connection(server, timeout=60, source_address=(host, 0) if host else None) as wire:
        wire.sendall(sent)
        yield wire


def read_to_end(wire: socket.socket) -> bytes:
    """All that comes until the server closes, or resets because more was sent than it read."""
    pieces = []
    try:
        while piece := wire.recv(1 << 16):
            pieces.append(piece)
    except ConnectionResetError:
        pass
    return b"".join(pieces)


def seconds_to_end(wire: socket.socket) -> float:
    """How long the server leaves a connection open on which it sends nothing."""
    began_s = time.monotonic()
    assert read_to_end(wire) == b""
    return time.monotonic() - began_s


def problem_of(answer: bytes) -> Any:  # noqa: ANN401
    """The problem that is the last thing on a connection."""
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode().lower().split("\r\n")
    assert "content-type: application/problem+json" in lines
    assert "connection: close" in lines
    assert any(line.startswith("date: ") for line in lines)
    assert not any(line.startswith("server:") for line in lines)
    problem = json.loads(body)
    assert problem.keys() == {"type", "title", "status", "detail", "request_id"}
    assert f"x-request-id: {problem['request_id']}" in lines
    assert head.startswith(f"HTTP/1.1 {problem['status']} ".encode())
    assert (problem["status"] == 503) == any(line.startswith("retry-after: ") for line in lines)
    return problem
