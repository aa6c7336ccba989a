from pathlib import Path

import numpy as np
import onnxruntime as ort

from service.cpu import CpuRunner
from tests.fakes import LABELS, Chips, linear_members


def test_side_by_side_answers_each_chip_as_alone(tmp_path: Path) -> None:
    members = linear_members()
    sessions = [ort.InferenceSession(member.graph()) for member in members]
    chips_BHWC: Chips = np.random.default_rng(0).integers(0, 256, (17, 64, 64, 3), np.uint8)
    for side_by_side in (1, 2, 8):
        runner = CpuRunner(sessions, side_by_side)
        for count in (1, 2, 17):
            runner.load(chips_BHWC[:count])
            for index, member in enumerate(members):
                probs_BL = runner.run(index)
                assert probs_BL.shape == (count, len(LABELS))
                np.testing.assert_allclose(probs_BL, member.probabilities(chips_BHWC[:count]), atol=1e-6)
