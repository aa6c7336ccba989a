"""A process that does to itself what a hostile scene might do to the one that reads it.

What it does is the scene's own text: at once, or once two windows are there.
"""

import os
import signal
import socket
import sys
import time
from pathlib import Path

from service.contract.chips.readers.messages import receive_line, send

WINDOW = {"column": 0, "row": 0, "width": 64, "height": 64}
SCENE = {"filename": None, "width": 64, "height": 256, "crs": None, "resolution_m": None, "footprint": None}


def main() -> None:
    with socket.socket(fileno=0) as connection:
        request = receive_line(connection)
        when, _, what = Path(request["address"]).read_text().removeprefix("II*\0").partition(" ")
        spec = request["spec"]
        chip = bytes(spec["height"] * spec["width"] * len(spec["bands"]))
        if when == "first":
            _do(connection, what)
        send(connection, SCENE | {"windows": 4})
        for index in range(4):
            if when == "later" and index == 2:
                _do(connection, what)
            send(connection, {"window": WINDOW, "footprint": None}, chip)


def _do(connection: socket.socket, what: str) -> None:
    match what:
        case "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "spin":
            os.kill(os.getpid(), signal.SIGPROF)
        case "hang":
            time.sleep(60)
        case "exit":
            sys.exit(3)
        case "babble":
            connection.sendall(b"\0\0\0\2[]" * 1000)
        case "nan":
            connection.sendall(b'\0\0\0\x0a{"a": NaN}')
        case "picture":
            preview = {"preview": {"bounds": [0, 0, 1, 1]}, "preview_bytes": 1 << 30}
            send(connection, SCENE | {"windows": 4} | preview)
        case "unknown":
            send(connection, {"error": "SystemExit", "detail": "nobody expected this"})
        case "short":
            send(connection, {"error": "OutOfMemory", "detail": "no memory is left"})


if __name__ == "__main__":
    main()
