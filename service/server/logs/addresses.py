"""Who a request is from: the other end of its connection, or whom a trusted proxy names.

Knows no other header than X-Forwarded-For, to which each proxy adds whom it heard.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from starlette.types import Scope

Networks = tuple[IPv4Network | IPv6Network, ...]


def networks(listed: str) -> Networks:
    """Read addresses and networks, separated by commas.

    Raises:
        ValueError: one is none.
    """
    return tuple(ip_network(part.strip()) for part in listed.split(",") if part.strip())


def client_address(scope: Scope, trusted: Networks) -> str:
    """Return the nearest address that is no trusted proxy's; what such a proxy says must be one."""
    client = scope.get("client")
    nearest = str(client[0]) if client else "unknown"
    if not trusted:
        return nearest
    named = ",".join(
        value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"
    ).split(",")
    while named and _is_among(nearest, trusted):
        try:
            nearest = str(_address(named.pop().strip()))
        except ValueError:
            break
    return nearest


def _is_among(address: str, trusted: Networks) -> bool:
    try:
        return any(_address(address) in network for network in trusted)
    except ValueError:
        return False


def _address(text: str) -> IPv4Address | IPv6Address:
    """Read an address; an IPv4 one that came over IPv6 is the same one."""
    address = ip_address(text)
    return getattr(address, "ipv4_mapped", None) or address
