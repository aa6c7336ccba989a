"""Tuned offline, served online: the same label sets, bit for bit.

A bundle is trained, and its label sets for all its chips are computed with nothing but
ONNX Runtime and the decision rule; the service must give the same for the same files.

Shape suffixes: M members, N chips, L labels, H height, W width, C bands.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("torch", reason="the bundle is trained here, which needs PyTorch")

from service.contract.bundle import Bundle
from service.contract.chips.decode import decode_chip
from service.contract.manifest import Precision
from service.engine.crew import Crew
from service.engine.ensemble import Ensemble
from service.offline.files import predict_files
from service.settings import Settings
from tests.kit import networks, stripes
from tests.kit.serving import serving
from training.export.parity import graph_answers

PRECISIONS: tuple[Precision, ...] = ("float32", "float16", "int8")
SERVED: Precision = "int8"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return networks.exported(tmp_path_factory.getbasetemp())[1]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = networks.source(tmp_path_factory.getbasetemp()).data / "chips"
    return [folder / f"chip_{index}.png" for index in range(stripes.CHIPS)]


def offline(bundle: Bundle, files: list[Path], precision: Precision) -> tuple[npt.NDArray[Any], ...]:
    """Return label sets (N,L), votes (N,L) and probabilities (N,L) without the service's engine."""
    chips_NHWC = np.stack([decode_chip(file.read_bytes(), bundle.manifest.input) for file in files])
    probs_MNL = np.stack(
        [
            graph_answers(bundle.graph_path(member, precision), chips_NHWC)[0]
            for member in bundle.manifest.members
        ]
    )
    return bundle.manifest.decision.decider().decide(probs_MNL)


@pytest.fixture(scope="module")
def settings(bundle: Bundle) -> Settings:
    return Settings(bundle=bundle.folder, device="cpu", precision=SERVED, max_batch=8)


@pytest.fixture(scope="module")
def http(settings: Settings) -> Iterator[httpx2.Client]:
    """A client of a real server with the trained bundle."""
    with serving(settings) as connected:
        yield connected


def assert_same(
    predictions: list[Any], expected: tuple[npt.NDArray[Any], ...], labels: list[str] = stripes.LABELS
) -> None:
    """Compare answers with what was computed offline; probabilities are rounded to six decimals."""
    labels_NL, votes_NL, mean_NL = expected
    assert 0.05 < labels_NL.mean() < 0.95  # or it would prove nothing
    assert len(predictions) == len(labels_NL)
    for prediction, labels_L, votes_L, mean_L in zip(predictions, labels_NL, votes_NL, mean_NL, strict=True):
        scores = prediction["scores"]
        assert prediction["labels"] == [labels[column] for column in np.flatnonzero(labels_L)]
        assert [score["label"] for score in scores] == labels
        assert [score["predicted"] for score in scores] == labels_L.tolist()
        assert [score["votes"] for score in scores] == votes_L.tolist()
        assert [score["probability"] for score in scores] == pytest.approx(mean_L.tolist(), abs=2e-6)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_ensemble_decides_as_the_tuning_did(
    bundle: Bundle, files: list[Path], settings: Settings, precision: Precision
) -> None:
    with Crew(lambda: Ensemble(bundle, device="cpu", precision=precision), settings.max_batch) as crew:
        answers = list(predict_files(crew, bundle, files, settings))
    assert_same(answers, offline(bundle, files, precision))


def test_one_request_with_all_chips(http: httpx2.Client, bundle: Bundle, files: list[Path]) -> None:
    form = [("chip", (file.name, file.read_bytes(), "image/png")) for file in files]
    answer = http.post("/predict", files=form)
    assert answer.status_code == 200
    predictions = answer.json()["predictions"]
    assert [prediction["filename"] for prediction in predictions] == [file.name for file in files]
    assert_same(predictions, offline(bundle, files, SERVED))


def test_one_request_for_each_chip(http: httpx2.Client, bundle: Bundle, files: list[Path]) -> None:
    predictions = []
    for file in files:
        answer = http.post("/predict", content=file.read_bytes(), headers={"content-type": "image/png"})
        assert answer.status_code == 200
        predictions += answer.json()["predictions"]
    assert_same(predictions, offline(bundle, files, SERVED))
