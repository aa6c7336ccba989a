"""What the server says of itself, and which protocols it speaks."""

import httpx2
import pytest

from tests.kit.wire import HEAD, connected, read_to_end


def test_no_answer_names_the_server(client: httpx2.Client) -> None:
    for path in ("/health/live", "/nowhere", "/"):
        headers = client.get(path).headers
        assert "date" in headers and "server" not in headers


@pytest.mark.parametrize("protocol", ["h2c", "websocket"])
def test_who_asks_for_another_protocol_is_answered_in_this_one(client: httpx2.Client, protocol: str) -> None:
    """Once: the parser reads nothing after such a request."""
    asked = f"{HEAD}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: {protocol}\r\nHTTP2-Settings: \r\n\r\n"
    with connected(client, asked.encode() + b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") as wire:
        answer = read_to_end(wire)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n") and answer.endswith(b'{"status":"live"}')
    assert answer.count(b"HTTP/1.1") == 1 and b"connection: close" in answer
