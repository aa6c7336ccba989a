import pytest

from service.contract.errors import Overloaded
from service.server.edge.connections import Connections


class Peer:
    """A connection that says whether it had to give way."""

    def __init__(self, host: str | None = "192.0.2.1") -> None:
        self.client = None if host is None else (host, 1)
        self.gave_way = False

    def give_way(self) -> None:
        self.gave_way = True


def waiting(connections: Connections, *hosts: str | None) -> list[Peer]:
    peers = [Peer(host) for host in hosts]
    for peer in peers:
        connections.enter(peer)
        connections.wait(peer)
    return peers


def test_the_longest_waiting_gives_way_and_who_works_does_not() -> None:
    connections = Connections(3, 3)
    first, second, third = waiting(connections, "a", "b", "c")
    connections.work(first)
    waiting(connections, "d")
    assert [peer.gave_way for peer in (first, second, third)] == [False, True, False]
    connections.wait(first)  # behind the others now
    waiting(connections, "e")
    assert [peer.gave_way for peer in (first, third)] == [False, True]


def test_where_all_work_a_newcomer_is_refused_until_one_leaves() -> None:
    connections = Connections(2, 2)
    first, second = waiting(connections, "a", "b")
    connections.work(first)
    connections.work(second)
    with pytest.raises(Overloaded, match="all connections are busy"):
        connections.enter(Peer("c"))
    connections.leave(first)
    connections.leave(first)
    connections.enter(Peer("c"))
    with pytest.raises(Overloaded):
        connections.enter(Peer("c"))


@pytest.mark.parametrize(
    ("hosts", "are_one"),
    [
        (["192.0.2.1", "192.0.2.1"], True),
        (["192.0.2.1", "192.0.2.2"], False),
        (["2001:db8::1", "2001:db8::2:1"], True),
        (["2001:db8:0:1::1", "2001:db8:0:2::1"], False),
        (["fe80::1%eth0", "fe80::2%eth1"], True),
        (["::ffff:192.0.2.1", "::ffff:192.0.2.2"], False),
        (["::ffff:192.0.2.1", "192.0.2.1"], True),
        ([None, None], True),
    ],
)
def test_an_address_has_its_own_limit(hosts: list[str | None], are_one: bool) -> None:
    connections = Connections(10, 1)
    (other,) = waiting(connections, "198.51.100.1")
    first, _ = waiting(connections, *hosts)
    assert first.gave_way == are_one
    assert not other.gave_way


def test_an_address_at_its_limit_is_told_so() -> None:
    connections = Connections(10, 1)
    (first,) = waiting(connections, "a")
    connections.work(first)
    with pytest.raises(Overloaded, match="of your address"):
        connections.enter(Peer("a"))
    connections.enter(Peer("b"))
