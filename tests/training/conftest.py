"""Fixtures of the training half: the tiny run in its states, trained once for all tests."""

from pathlib import Path

import pytest
import torch

from service.bundle import Bundle
from tests.training import tiny
from training.dataset import Dataset, open_dataset, prepare
from training.workspace import Run, Source

# The networks are too small to share out: threads would only wait for each other.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    """Where the tiny data set and its weights lie."""
    return tiny.source(tmp_path_factory.getbasetemp())


@pytest.fixture
def prepared(tiny_source: Source, tmp_path: Path) -> Run:
    """A fresh run with its chips decoded, to be changed at will."""
    run = Run.start(tmp_path / "prepared", tiny.CONFIG, tiny_source)
    prepare(run)
    return run


@pytest.fixture(scope="session")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The shared run up to its scores: read it, or take a `tiny.copy_of` it."""
    return tiny.evaluated(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def tiny_dataset(evaluated: Run) -> Dataset:
    return open_dataset(evaluated)


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Bundle]:
    """The shared run with its bundle: read only."""
    return tiny.exported(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def tiny_bundle(exported: tuple[Run, Bundle]) -> Bundle:
    return exported[1]
