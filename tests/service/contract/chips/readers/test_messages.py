import socket
import threading
import time

import pytest

from service.contract.chips.readers.messages import MAX_LINE, receive_into, receive_line, send


def test_lines_and_bytes_arrive_whole() -> None:
    here, there = socket.socketpair()
    with here, there:
        body = bytes(range(256)) * 10_000
        sender = threading.Thread(target=send, args=(here, {"bytes": len(body)}, body))
        sender.start()
        line = receive_line(there)
        received = bytearray(line["bytes"])
        receive_into(there, memoryview(received))
        sender.join()
    assert received == body


@pytest.mark.parametrize(
    "bytes_sent", [(MAX_LINE + 1).to_bytes(4), b"\0\0\0\2[]", b"\0\0\0\2{!", b"\0\0\0\1\xff"]
)
def test_what_is_no_message_is_refused(bytes_sent: bytes) -> None:
    here, there = socket.socketpair()
    with here, there, pytest.raises(ValueError):
        here.sendall(bytes_sent)
        receive_line(there, time.monotonic() + 1)


def test_an_end_that_is_closed_or_silent_is_noticed() -> None:
    here, there = socket.socketpair()
    with there:
        with here, pytest.raises(TimeoutError):
            here.sendall(b"\0\0")  # a part of a message does not win more time
            receive_line(there, time.monotonic() + 0.05)
        with pytest.raises(EOFError):
            receive_line(there)
