import numpy as np
import onnxruntime
import pytest

from service.contract import onnx_runtime
from service.contract.onnx_runtime import needs_exact, open_session, saturates
from tests.kit.fakes import linear_members


def test_a_graph_opens_from_its_bytes_and_answers() -> None:
    member = linear_members()[0]
    chips_BHWC = np.full((2, 64, 64, 3), 90, np.uint8)
    found = open_session(member.graph()).run(["probabilities"], {"chips": chips_BHWC})[0]
    np.testing.assert_allclose(found, member.probabilities(chips_BHWC), atol=1e-6)


def test_sessions_are_quiet_and_their_idle_threads_do_not_spin(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[onnxruntime.SessionOptions] = []
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda _, options, **__: opened.append(options))
    open_session(b"", threads=2, entries={"session.use_env_allocators": "1"})
    open_session(b"", exact=True, spinning=True)
    plain, exact = opened
    assert (plain.intra_op_num_threads, plain.log_severity_level) == (2, 4)
    assert plain.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    assert plain.get_session_config_entry("session.use_env_allocators") == "1"
    assert exact.get_session_config_entry("session.intra_op.allow_spinning") == "1"
    assert exact.get_session_config_entry("session.x64quantprecision") == "1"
    with pytest.raises(RuntimeError):  # its own word for what was never set
        plain.get_session_config_entry("session.x64quantprecision")


def test_exact_kernels_add_the_two_weights_right_on_every_processor() -> None:
    session = open_session(onnx_runtime._TWO_WEIGHTS, exact=True)
    found = session.run(None, {"a": np.full((1, 2), 255, np.uint8)})
    assert found[0].item() == 2 * 255 * 127


def test_only_unbounded_integers_on_a_processor_that_saturates_need_exact_kernels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert needs_exact(False, "int8") == saturates()
    for answer in (True, False):
        monkeypatch.setattr(onnx_runtime, "saturates", lambda answer=answer: answer)
        assert needs_exact(False, "int8") == answer
        assert not needs_exact(True, "int8")
        assert not needs_exact(False, "float32")
