"""A real server in a thread, for tests that speak HTTP."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx2
import uvicorn

from service.server.app import create_app
from service.server.edge.configuration import configuration
from service.server.edge.limits import limits
from service.settings import Settings

ROOT = Path(__file__).parents[2]
DEFAULT_BUNDLE = ROOT / "models/uc-merced"
SAMPLE_CHIP = ROOT / "docs/sample-chip.jpg"


@contextmanager
def serving(settings: Settings) -> Iterator[httpx2.Client]:
    """Serve on a free port of the loopback address; yield a client of it."""
    with listening(
        configuration(create_app(settings), limits(settings), port=0, log_config=None, lifespan="on")
    ) as client:
        yield client


@contextmanager
def listening(config: uvicorn.Config) -> Iterator[httpx2.Client]:
    """Run any server on the free port that its configuration takes; yield a client of it."""
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as connected:
            yield connected
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def standing_in(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Let a handler answer in place of another program's server; yield its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
