"""Fixtures for both halves: where real data lies, a sealed bundle, a running server."""

import os
from collections.abc import Iterator
from pathlib import Path

import httpx2
import hypothesis
import pytest

from service.contract.bundle import Bundle
from service.contract.processors import processor_kind, processors
from service.settings import Settings
from tests.kit.fakes import make_bundle
from tests.kit.serving import DEFAULT_BUNDLE, serving

# How long one example takes says more about the machine than about the code.
hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")


def pytest_report_header() -> str:
    """Say what the tests run on: integer kernels differ from one kind of processor to the next."""
    return f"processor: {processors()} × {processor_kind()}"


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
def client(settings: Settings) -> Iterator[httpx2.Client]:
    """A client of one real server that all tests share."""
    with serving(settings) as connected:
        yield connected


@pytest.fixture(scope="session")
def default_client() -> Iterator[httpx2.Client]:
    """A client of a real server with the default bundle, for tests on real maps and labels."""
    with serving(Settings(bundle=DEFAULT_BUNDLE, device="cpu")) as connected:
        yield connected
