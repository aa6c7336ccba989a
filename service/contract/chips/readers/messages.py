"""Messages between processes over a stream socket: a line of JSON, and bytes whose count it tells.

Nothing that comes in is executed or unpickled. Knows nothing of what the messages say.
"""

import json
import socket
import time
from typing import Any

MAX_LINE = 1 << 16  # bytes
_LENGTH = 4  # bytes in front of the line, that say how long it is

Line = dict[str, Any]


def send(connection: socket.socket, line: Line, body: bytes | memoryview = b"") -> None:
    """Send a message, within the connection's own timeout.

    Raises:
        OSError: nobody takes it.
    """
    text = json.dumps(line).encode()
    connection.sendall(len(text).to_bytes(_LENGTH, "big") + text)
    connection.sendall(body)


def receive_line(connection: socket.socket, deadline: float | None = None) -> Line:
    """Wait for a message's line, until a moment of the monotonic clock.

    The message's bytes are to be received next.

    Raises:
        EOFError: the other end is closed.
        TimeoutError: the moment came.
        ValueError: it is no message.
        OSError: as of any socket.
    """
    prefix = bytearray(_LENGTH)
    receive_into(connection, memoryview(prefix), deadline)
    length = int.from_bytes(prefix, "big")
    if length > MAX_LINE:
        raise ValueError(f"a line of {length} bytes; at most {MAX_LINE} are accepted")
    text = bytearray(length)
    receive_into(connection, memoryview(text), deadline)
    line = json.loads(text)
    if not isinstance(line, dict):
        raise ValueError("the line is no JSON object")
    return line


def receive_into(connection: socket.socket, body: memoryview, deadline: float | None = None) -> None:
    """Fill a body with what comes; raises as `receive_line`."""
    while body:
        if deadline is not None:
            connection.settimeout(max(1e-3, deadline - time.monotonic()))
        count = connection.recv_into(body)
        if not count:
            raise EOFError("the other end is closed")
        body = body[count:]
