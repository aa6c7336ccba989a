"""Fixtures for both halves: where real data lies, a sealed bundle, a running server."""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn

from service.app import create_app
from service.bundle import Bundle
from service.settings import Settings
from tests.fakes import make_bundle


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with real chips, which the repository does not hold."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("CHIPVOTE_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"no real data in {folder}; set CHIPVOTE_DATA to a folder that has it")
    return folder


@pytest.fixture(scope="session")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A sealed bundle of three tiny members that name a chip's colour."""
    return make_bundle(tmp_path_factory.mktemp("bundles") / "colours")


@pytest.fixture(scope="session")
def settings(colours: Bundle) -> Settings:
    return Settings(bundle=colours.folder, device="cpu", max_batch=8, max_chips=40, max_body_bytes=4 << 20)


@pytest.fixture(scope="session")
def client(settings: Settings) -> Iterator[httpx.Client]:
    """A client of one real server that all tests share."""
    config = uvicorn.Config(create_app(settings), port=0, log_config=None, lifespan="on")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as connected:
        yield connected
    server.should_exit = True
    thread.join()
