import importlib
import json
from pathlib import Path

import numpy as np

from service.contract.bundle import Bundle
from service.offline.exports.triton import write_repository


def test_the_vote_decides_each_requests_chips_as_the_bundle_does(colours: Bundle, tmp_path: Path) -> None:
    write_repository(colours, tmp_path / "repository")
    model = importlib.import_module("service.offline.exports.triton_models.vote").TritonPythonModel()
    folder = tmp_path / "repository/chipvote_vote"
    names = [f"probabilities_{index}" for index in range(3)]
    config = json.dumps({"input": [{"name": name} for name in names]})
    model.initialize({"model_repository": str(folder), "model_version": "1", "model_config": config})
    probs_MBL = np.random.default_rng(0).random((3, 500, 4), np.float32)
    halves = [probs_MBL[:, :200], probs_MBL[:, 200:]]
    answers = model.execute([dict(zip(names, half, strict=True)) for half in halves])
    # The rule in words: two of three members, each at even odds.
    expected_BL = (probs_MBL >= 0.5).sum(axis=0)
    assert np.concatenate([answer["votes"] for answer in answers]).tolist() == expected_BL.tolist()
    assert np.concatenate([answer["labels"] for answer in answers]).tolist() == (expected_BL >= 2).tolist()
    means_BL = np.concatenate([answer["probabilities"] for answer in answers])
    np.testing.assert_allclose(means_BL, probs_MBL.mean(axis=0, dtype=np.float64), rtol=1e-12)
