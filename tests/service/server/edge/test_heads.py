import pytest

from service.server.edge.errors import MalformedRequest
from service.server.edge.heads import body_bytes

HOST = (b"host", b"chips.example:8000")


@pytest.mark.parametrize("host", [b"x", b"127.0.0.1:80", b"[2001:db8::1]:8000", b"", b"a_b.example"])
def test_any_host_will_do(host: bytes) -> None:
    assert body_bytes("1.1", [(b"host", host)]) == 0


def test_the_length_is_returned() -> None:
    assert body_bytes("1.1", [HOST, (b"content-length", b"007")]) == 7
    assert body_bytes("1.1", [HOST, (b"transfer-encoding", b"chunked")]) == 0
    assert body_bytes("1.0", [(b"content-length", b"3")]) == 3


@pytest.mark.parametrize(
    ("version", "headers", "named"),
    [
        ("1.1", [], "0 Host headers"),
        ("1.1", [HOST, HOST], "2 Host headers"),
        ("1.0", [HOST, HOST], "2 Host headers"),
        ("1.1", [(b"host", b"a/b")], "names no host"),
        ("1.1", [(b"host", b"a b")], "names no host"),
        ("1.1", [(b"host", b"a@b")], "names no host"),
        ("1.0", [(b"transfer-encoding", b"chunked")], "HTTP/1.0 has no Transfer-Encoding"),
        ("0.9", [], "speaks HTTP/0.9"),
        ("2.0", [HOST], "speaks HTTP/2.0"),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(
    version: str, headers: list[tuple[bytes, bytes]], named: str
) -> None:
    with pytest.raises(MalformedRequest, match=named):
        body_bytes(version, headers)
