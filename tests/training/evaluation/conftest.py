"""Fixtures of the evaluation: a bundle for striped chips that no network was trained for."""

import pytest

from service.contract.bundle import Bundle
from tests.kit import stripes
from tests.kit.fakes import Linear, linear_members, make_bundle
from training.data.dataset import Dataset, open_dataset
from training.run.folder import Run

COLUMNS = [2, 3, 1, 0]  # of the linear members' labels, in the stripes' order: blue, dark, green, red


@pytest.fixture(scope="session")
def dataset(evaluated: Run) -> Dataset:
    return open_dataset(evaluated)


@pytest.fixture(scope="session")
def bundle(evaluated: Run, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Three linear members that say which colour a striped chip has most of, in two precisions."""
    return make_bundle(
        tmp_path_factory.mktemp("bundles") / "stripes",
        members=[Linear(m.weights_CL[:, COLUMNS], m.bias_L[COLUMNS]) for m in linear_members()],
        precisions=("float32", "int8"),
        labels=stripes.LABELS,
        dataset_sha256=open_dataset(evaluated).digest,
    )
