"""A server in a process of its own, and clients that keep it busy with requests of many chips."""

import http.client
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from time import monotonic, perf_counter, sleep


@contextmanager
def server(settings: Mapping[str, object]) -> Iterator[int]:
    """Serve in a process of its own, with settings by their names in the environment; yield its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    environment = os.environ | {
        f"CHIPVOTE_{key}": str(value) for key, value in {**settings, "PORT": port}.items()
    }
    process = subprocess.Popen([sys.executable, "-m", "service"], env=environment)
    try:
        while True:
            assert process.poll() is None, "the server did not start"
            try:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
                connection.request("GET", "/health/ready")
                if connection.getresponse().status == 200:
                    break
            except OSError:
                pass
            sleep(0.2)
        yield port
    finally:
        process.terminate()
        process.wait()


BOUNDARY = "chipvote-benchmark"


def form(files: list[bytes]) -> bytes:
    """Return a request's body with so many chips."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="chip"; filename="chip.jpg"\r\n'
    start = f"{head}Content-Type: image/jpeg\r\n\r\n".encode()
    return b"".join(start + file + b"\r\n" for file in files) + f"--{BOUNDARY}--\r\n".encode()


def send(port: int, body: bytes, connections: int, seconds: float) -> float:
    """Send the body again and again on so many connections; return the chips answered a second."""
    chips = body.count(b"filename=")
    until = monotonic() + seconds

    def work(_: int) -> float:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        done, began = 0, perf_counter()
        while done == 0 or monotonic() < until:
            headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
            connection.request("POST", "/predict", body, headers)
            answer = connection.getresponse()
            text = answer.read()
            assert answer.status == 200, text
            done += chips
        return done / (perf_counter() - began)

    with ThreadPoolExecutor(connections) as threads:
        return sum(threads.map(work, range(connections)))
