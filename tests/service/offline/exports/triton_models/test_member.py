import importlib
import json
from pathlib import Path

import numpy as np

from service.contract.bundle import Bundle
from service.offline.exports.triton import write_repository
from tests.kit.fakes import linear_members


def test_a_member_runs_what_was_put_together_as_one_batch(colours: Bundle, tmp_path: Path) -> None:
    write_repository(colours, tmp_path / "repository", backend="python")
    model = importlib.import_module("service.offline.exports.triton_models.member").TritonPythonModel()
    told = {"precision": {"string_value": "float32"}, "bounded": {"string_value": "false"}}
    folder = tmp_path / "repository/chipvote_member_2"
    config = json.dumps({"parameters": told})
    model.initialize({"model_repository": str(folder), "model_version": "1", "model_config": config})
    chips_GHWC = np.asarray(colours.golden.chips_GHWC)
    answers = model.execute([{"chips": chips_GHWC[:1]}, {"chips": chips_GHWC[1:]}])
    assert [len(answer["probabilities"]) for answer in answers] == [1, len(chips_GHWC) - 1]
    found_GL = np.concatenate([answer["probabilities"] for answer in answers])
    np.testing.assert_allclose(found_GL, linear_members()[2].probabilities(chips_GHWC), atol=1e-6)
