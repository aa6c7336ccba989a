"""Fixtures of the training half: the tiny run in its states, trained once for all tests."""

import shutil
from pathlib import Path

import pytest

from service.contract.bundle import Bundle
from service.contract.manifest import InputSpec
from tests.kit import tiny
from training.data.dataset import Dataset, open_dataset, prepare
from training.network.model import ExportNet
from training.run.folder import Run, Source


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


@pytest.fixture
def quick_export(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Take float32 graphs from the shared bundle; PyTorch's exporter needs seconds for each.

    Returns the members it was asked for. The copies are checked like any other graph.
    """
    asked: list[str] = []

    def copied(net: ExportNet, spec: InputSpec, path: Path) -> None:
        asked.append(net.net.name)
        shutil.copyfile(tiny_bundle.folder / f"{net.net.name}.float32.onnx", path)

    monkeypatch.setattr("training.export.graphs.write_float32", copied)
    return asked
