"""Fixtures of the commands' tests."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.contract.bundle import Bundle
from tests.kit.fakes import (
    BLUE,
    RED,
    picture,
)


@pytest.fixture(autouse=True)
def own_logging() -> Iterator[None]:
    """Serving writes its log to the stderr of the moment, which the next test replaces."""
    yield
    logger = logging.getLogger("chipvote")
    logger.handlers.clear()
    logger.setLevel(logging.NOTSET)


@pytest.fixture
def chips(tmp_path: Path) -> Path:
    folder = tmp_path / "chips"
    folder.mkdir()
    picture(RED).save(folder / "a.png")
    picture(BLUE).save(folder / "b.png")
    return folder


@pytest.fixture(autouse=True)
def on_cpu(monkeypatch: pytest.MonkeyPatch, colours: Bundle) -> None:
    monkeypatch.setenv("CHIPVOTE_DEVICE", "cpu")
    monkeypatch.setenv("CHIPVOTE_BUNDLE", str(colours.folder))
