"""A real server in a thread, for tests that speak HTTP."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import uvicorn

from service.server.app import create_app
from service.server.endings.connections import Connection
from service.settings import Settings

ROOT = Path(__file__).parents[2]
DEFAULT_BUNDLE = ROOT / "models/uc-merced"
SAMPLE_CHIP = ROOT / "docs/sample-chip.jpg"


@contextmanager
def serving(settings: Settings) -> Iterator[httpx2.Client]:
    """Serve on a free port of the loopback address; yield a client of it."""
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(settings), http=Connection, port=0, log_config=None, lifespan="on", ws="none"
        )
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as connected:
        yield connected
    server.should_exit = True
    thread.join()
