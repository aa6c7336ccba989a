"""What a request's head must be, beyond what the parser already refuses.

httptools lets pass what two readers could take for two things: a version that is none of ours,
several hosts or none, a coded body in HTTP/1.0. Knows names and values; no connection.
"""

import re
from collections.abc import Iterable

from service.server.edge.errors import MalformedRequest

_HOST = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=%:\[\]-]*")  # RFC 3986, 3.2.2; with a port


def body_bytes(version: str, headers: Iterable[tuple[bytes, bytes]]) -> int:
    """Check a head; return how many bytes its body has by it, 0 for none or for chunks.

    Args:
        version: of HTTP, as the parser read it.
        headers: names in lower case.

    Raises:
        MalformedRequest: says what is wrong.
    """
    if version not in ("1.1", "1.0"):
        raise MalformedRequest(f"the request speaks HTTP/{version}; send HTTP/1.1")
    length, hosts, is_coded = 0, [], False
    for name, value in headers:
        if name == b"host":
            hosts.append(value)
        elif name == b"content-length":
            length = int(value)
        elif name == b"transfer-encoding":
            is_coded = True
    if len(hosts) > 1 or (not hosts and version == "1.1"):
        raise MalformedRequest(f"the request has {len(hosts)} Host headers; send one")
    if hosts and not _HOST.fullmatch(hosts[0]):
        raise MalformedRequest("the Host header names no host; send the address's host and port alone")
    if is_coded and version == "1.0":
        raise MalformedRequest("HTTP/1.0 has no Transfer-Encoding; send Content-Length, or HTTP/1.1")
    return length
