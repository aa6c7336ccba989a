import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime as ort

from service.engine.cpu import CpuRunner
from tests.kit.fakes import LABELS, Chips, linear_members


def test_side_by_side_answers_each_chip_as_alone(tmp_path: Path) -> None:
    members = linear_members()
    sessions = [ort.InferenceSession(member.graph()) for member in members]
    chips_BHWC: Chips = np.random.default_rng(0).integers(0, 256, (17, 64, 64, 3), np.uint8)
    for side_by_side in (1, 2, 8):
        runner = CpuRunner(sessions, side_by_side)
        for count in (1, 2, 17):
            loaded = runner.load(chips_BHWC[:count])
            for index, member in enumerate(members):
                probs_BL = loaded.run(index)
                assert probs_BL.shape == (count, len(LABELS))
                np.testing.assert_allclose(probs_BL, member.probabilities(chips_BHWC[:count]), atol=1e-6)


def test_lanes_are_one_for_each_chip_side_by_side() -> None:
    sessions = [ort.InferenceSession(member.graph()) for member in linear_members()]
    chips_BHWC: Chips = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), np.uint8)
    whole = CpuRunner(sessions, 1)
    assert whole.lanes() == [whole]
    runner = CpuRunner(sessions, 3)
    assert runner.at_once == 1
    lanes = runner.lanes()
    assert len(lanes) == 3
    one, other = lanes[0].load(chips_BHWC), lanes[1].load(255 - chips_BHWC)
    expected_BL = runner.load(chips_BHWC).run(0)
    np.testing.assert_array_equal(one.run(0), expected_BL)
    assert (other.run(0) != expected_BL).any()


def test_only_a_chip_that_runs_by_itself_gets_the_sessions_for_one_alone() -> None:
    inside, gate = threading.Event(), threading.Event()
    asked: list[str] = []

    def session(name: str) -> Any:  # noqa: ANN401
        def run(*_: object) -> list[Any]:
            asked.append(name)
            if len(asked) == 1:
                inside.set()
                assert gate.wait(60)
            return [np.zeros((1, 4), np.float32)]

        return SimpleNamespace(run=run)

    lanes = CpuRunner([session("one core")], 2, [session("all cores")]).lanes()
    first, second = (lane.load(np.zeros((1, 2, 2, 3), np.uint8)) for lane in lanes)
    thread = threading.Thread(target=first.run, args=(0,))
    thread.start()
    assert inside.wait(60)
    second.run(0)
    gate.set()
    thread.join()
    second.run(0)
    assert asked == ["all cores", "one core", "all cores"]
