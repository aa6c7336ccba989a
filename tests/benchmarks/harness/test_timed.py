"""The stand-in device takes its time for each chip, and counts."""

import time
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

pytest.importorskip("onnx")

from benchmarks.harness.bundles import mean_graph
from benchmarks.harness.timed import install
from service.contract.onnx_runtime import open_session


@pytest.fixture(autouse=True)
def own_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ort, "InferenceSession", ort.InferenceSession)  # put back at the end


def graph() -> bytes:
    return mean_graph(np.zeros((3, 2), np.float32), np.zeros(2, np.float32))


def test_each_chip_takes_its_time_and_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEVICE_MS", "30")
    monkeypatch.setenv("DEVICE_COUNT", str(tmp_path / "computed"))
    install()
    session = open_session(graph())
    began_s = time.perf_counter()
    (probs_BL,) = session.run(["probabilities"], {"chips": np.zeros((3, 256, 256, 3), np.uint8)})
    assert time.perf_counter() - began_s >= 0.09
    assert probs_BL.tolist() == [[0.5, 0.5]] * 3
    assert len((tmp_path / "computed").read_bytes()) == 3


def test_without_a_word_sessions_are_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DEVICE_MS", raising=False)
    install()
    assert type(open_session(graph())).__module__.startswith("onnxruntime")
