"""Who is connected: how many in all and from each address, and who gives way to a newcomer.

Connections that wait for a request, or for the rest of its head, give way, the longest waiting
first. One that works never does. Knows no HTTP. Runs on one event loop.
"""

from collections import Counter
from collections.abc import Callable
from ipaddress import IPv6Address
from typing import Protocol

from service.contract.errors import Overloaded
from service.server.edge.turns import Turns


class Connection(Protocol):
    """One connection, as far as the others are concerned."""

    client: tuple[str, int] | None

    def give_way(self) -> None:
        """Close, without a word: nobody waits for an answer."""


class Connections:
    """All connections of one server."""

    def __init__(self, most: int, most_per_address: int) -> None:
        self._most, self._most_per_address = most, most_per_address
        self._addresses: dict[Connection, str] = {}
        self._counts: Counter[str] = Counter()
        self._waiting: dict[Connection, None] = {}  # in the order in which they began to
        self.turns = Turns()  # in which they are read

    def enter(self, connection: Connection) -> None:
        """Take one more, in the place of another if need be.

        Raises:
            Overloaded: there is no room, and nobody to give way.
        """
        address = _network(connection.client)
        if self._counts[address] >= self._most_per_address:
            self._make_room(address)
        elif len(self._addresses) >= self._most:
            self._make_room(None)
        self._addresses[connection] = address
        self._counts[address] += 1

    def later(self, connection: Connection, read: Callable[[], None]) -> None:
        """Have something of one read when its address' turn comes."""
        self.turns.later(read, self._addresses.get(connection, ""))

    def leave(self, connection: Connection) -> None:
        """Forget one, if it is known."""
        self._waiting.pop(connection, None)
        address = self._addresses.pop(connection, None)
        if address is not None:
            self._counts[address] -= 1
            if not self._counts[address]:
                del self._counts[address]

    def wait(self, connection: Connection) -> None:
        """Note that one waits for a request from now on."""
        if connection in self._addresses:
            self._waiting[connection] = None

    def work(self, connection: Connection) -> None:
        """Note that one has got a request's head."""
        self._waiting.pop(connection, None)

    def _make_room(self, address: str | None) -> None:
        for waiting in self._waiting:
            if address is None or self._addresses[waiting] == address:
                self.leave(waiting)
                waiting.give_way()
                return
        whose = "of your address " if address is not None else ""
        raise Overloaded(
            f"all connections {whose}are busy; use the ones that are open, or try again in a moment"
        )


def _network(client: tuple[str, int] | None) -> str:
    """Return what counts as one address: whoever has an IPv6 address has 2⁶⁴ of them."""
    if client is None:
        return ""
    host = client[0]
    if ":" not in host:
        return host
    address = IPv6Address(host.partition("%")[0])
    return str(address.ipv4_mapped or int(address) >> 64)
