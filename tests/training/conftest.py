"""Fixtures of the training half, each made once for all tests.

What needs PyTorch imports it when it is asked for: the rooms without networks are tested without.
"""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from service.contract.bundle import Bundle
from service.contract.manifest import InputSpec
from tests.kit import stripes
from training.data.dataset import Dataset, open_dataset, prepare
from training.run.folder import Run, Source

if TYPE_CHECKING:
    from training.network.model import ExportNet


@pytest.fixture(scope="session")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A scored run without a network: read it, or take a `stripes.copy_of` it."""
    return stripes.evaluated(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def tiny_source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    """Where the striped chips and two tiny networks' weights lie."""
    from tests.kit import networks

    return networks.source(tmp_path_factory.getbasetemp())


@pytest.fixture
def prepared(tiny_source: Source, tmp_path: Path) -> Run:
    """A fresh run with its chips decoded, to be changed at will."""
    run = Run.start(tmp_path / "prepared", stripes.CONFIG, tiny_source)
    prepare(run)
    return run


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The shared run of two networks up to its scores: read it, or take a `stripes.copy_of` it."""
    from tests.kit import networks

    return networks.trained(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def tiny_dataset(trained: Run) -> Dataset:
    return open_dataset(trained)


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Bundle]:
    """The shared run with its bundle: read only."""
    from tests.kit import networks

    return networks.exported(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def tiny_bundle(exported: tuple[Run, Bundle]) -> Bundle:
    return exported[1]


@pytest.fixture
def quick_export(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Take float32 graphs from the shared bundle; PyTorch's exporter needs seconds for each.

    Returns the members it was asked for. The copies are checked like any other graph.
    """
    asked: list[str] = []

    def copied(net: "ExportNet", spec: InputSpec, path: Path) -> None:
        asked.append(net.net.name)
        shutil.copyfile(tiny_bundle.folder / f"{net.net.name}.float32.onnx", path)

    monkeypatch.setattr("training.export.graphs.write_float32", copied)
    return asked
