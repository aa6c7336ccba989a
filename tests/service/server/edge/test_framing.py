"""Where pieces end, and what is counted; over sockets and with the parser in `test_protocol.py`."""

import pytest

from service.server.edge.errors import AddressTooLong, HeadersTooLarge, MalformedRequest
from service.server.edge.framing import Framing
from service.server.edge.limits import Limits, limits
from service.settings import Settings

LIMITS: Limits = limits(Settings(max_header_bytes=300, max_url_bytes=100, max_headers=3))
HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def after_head(body_bytes: int = 0) -> Framing:
    framing = Framing(LIMITS)
    framing.before(HEAD)
    framing.head(b"/", body_bytes)
    framing.after(HEAD)
    return framing


def test_a_piece_holds_one_request_at_most() -> None:
    framing = Framing(LIMITS)
    two = HEAD + HEAD
    assert framing.end_of_piece(two, 0) == len(HEAD)
    assert framing.end_of_piece(two, len(HEAD)) == len(two)
    assert framing.end_of_piece(HEAD[:9], 0) == 9
    assert framing.end_of_piece(bytes(1 << 20), 0) < 1 << 15


@pytest.mark.parametrize("cut", range(1, 4))
def test_an_end_that_is_cut_in_two_is_one(cut: int) -> None:
    framing = Framing(LIMITS)
    first, rest = HEAD[:-cut], HEAD[-cut:] + HEAD
    framing.before(first)
    framing.after(first)
    assert framing.end_of_piece(rest, 0) == cut


def test_a_body_of_known_length_is_a_piece() -> None:
    framing = after_head(10)
    assert framing.end_of_piece(b"\r\n\r\n" + bytes(100), 0) == 10
    framing.body(4)
    assert framing.end_of_piece(bytes(100), 90) == 96


def test_a_head_is_bounded_before_it_is_parsed() -> None:
    framing = Framing(LIMITS)
    with pytest.raises(AddressTooLong):
        framing.before(b"GET /" + bytes(300))
    with pytest.raises(HeadersTooLarge):
        Framing(LIMITS).before(b"GET / HTTP/1.1\r\nA: " + bytes(300))
    framing = Framing(LIMITS)
    for piece in (b"GET / HTTP/1.1\r\n", bytes(200)):
        framing.before(piece)
        framing.after(piece)
    with pytest.raises(HeadersTooLarge):
        framing.before(bytes(100))


def test_a_whole_head_is_bounded() -> None:
    with pytest.raises(AddressTooLong):
        Framing(LIMITS).head(bytes(101), 0)


def test_headers_are_counted_before_they_are_parsed() -> None:
    first, header, end = b"GET / HTTP/1.1\r\n", b"A: b\r\n", b"\r\n"
    Framing(LIMITS).before(first + 3 * header + end)
    with pytest.raises(HeadersTooLarge, match="more than 3 headers"):
        Framing(LIMITS).before(first + 4 * header + end)


@pytest.mark.parametrize(("chunk_bytes", "is_much"), [(1, True), (10, True), (30, False), (1000, False)])
def test_chunks_pay_for_themselves(chunk_bytes: int, is_much: bool) -> None:
    framing = after_head()

    def take() -> None:
        for _ in range(2000):
            framing.before(b"%x\r\n" % chunk_bytes + bytes(chunk_bytes) + b"\r\n")
            framing.body(chunk_bytes)
            framing.after(b"")

    if is_much:
        with pytest.raises(MalformedRequest, match="too small"):
            take()
    else:
        take()


def test_a_large_body_pays_for_no_trailers() -> None:
    framing = after_head()
    framing.before(bytes(1 << 20))
    framing.body((1 << 20) - 10)
    framing.after(b"")
    framing.before(bytes(5000))
    with pytest.raises(MalformedRequest, match="trailers"):
        framing.end()


@pytest.mark.parametrize("cut", range(1, 5))
def test_the_end_of_chunks_may_be_cut_in_two_as_well(cut: int) -> None:
    framing, chunks = after_head(), b"3\r\nabc\r\n0\r\n\r\n"
    first, rest = chunks[:-cut], chunks[-cut:] + HEAD
    framing.before(first)
    framing.body(3)
    framing.after(first)
    assert framing.end_of_piece(rest, 0) == cut
    framing.before(rest[:cut])
    framing.end()
    framing.after(rest[:cut])
    assert framing.end_of_piece(rest, cut) == len(rest)
    assert not framing.head_has_begun
