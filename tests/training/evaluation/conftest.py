"""Fixtures of the evaluation: a bundle for striped chips that no network was trained for."""

import numpy as np
import pytest

from service.contract.bundle import Bundle
from tests.kit import stripes
from tests.kit.fakes import Linear, make_bundle
from training.data.dataset import Dataset, open_dataset
from training.run.folder import Run

# Mean red, green and blue → blue: more than its share; dark: little of all; green; red.
WEIGHTS_CL = np.array([[-1, -1, -1, 2], [-1, -1, 2, -1], [2, -1, -1, -1]], np.float32) / 32
BIAS_L = np.array([-0.5, 7, -0.5, -0.5], np.float32)
SCALES = np.array([0.8, 1.0, 1.2], np.float32)


@pytest.fixture(scope="session")
def dataset(evaluated: Run) -> Dataset:
    return open_dataset(evaluated)


@pytest.fixture(scope="session")
def bundle(evaluated: Run, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Three linear members that say which colour a striped chip has most of, in two precisions."""
    return make_bundle(
        tmp_path_factory.mktemp("bundles") / "stripes",
        members=[Linear(WEIGHTS_CL * scale, BIAS_L * scale) for scale in SCALES],
        precisions=("float32", "int8"),
        labels=stripes.LABELS,
        dataset_sha256=open_dataset(evaluated).digest,
    )
