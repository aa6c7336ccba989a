from pathlib import Path
from typing import Any

import onnxruntime
import pytest

from service.bundle import InputSpec
from service.errors import BundleError, DeviceError
from service.sessions import check_graph, open_session, require_cuda
from tests.fakes import LABELS, SIZE_PX, linear_members

SPEC = InputSpec(bands=("red", "green", "blue"), height=SIZE_PX, width=SIZE_PX)


def write_graph(folder: Path, **faults: Any) -> Path:  # noqa: ANN401
    path = folder / "member.onnx"
    path.write_bytes(linear_members()[0].graph(**faults))
    return path


def test_a_sound_graph_passes(tmp_path: Path) -> None:
    path = write_graph(tmp_path)
    check_graph(open_session(path, "cpu", 1), path, SPEC, len(LABELS))


def test_a_uint16_graph_fits_a_uint16_bundle_only(tmp_path: Path) -> None:
    path = write_graph(tmp_path, input_type=4)
    session, raw = open_session(path, "cpu", 1), SPEC.model_copy(update={"dtype": "uint16"})
    check_graph(session, path, raw, len(LABELS))
    with pytest.raises(BundleError, match=r"must be tensor\(uint16\)"):
        check_graph(open_session(write_graph(tmp_path), "cpu", 1), path, raw, len(LABELS))


@pytest.mark.parametrize(
    ("faults", "says"),
    [
        ({"input_name": "images"}, "input images is not expected"),
        ({"input_type": 1}, r"input chips is tensor\(float\)"),
        ({"input_type": 4}, r"input chips is tensor\(uint16\).*must be tensor\(uint8\)"),
        ({"size_px": 32}, r"must be tensor\(uint8\) \[None, 64, 64, 3\]"),
        ({"batch": 1}, r"input chips is tensor\(uint8\) \[1, 64, 64, 3\]"),
        ({"with_evidence": False}, "output evidence is missing"),
    ],
)
def test_a_graph_unlike_the_manifest_is_refused(tmp_path: Path, faults: dict[str, Any], says: str) -> None:
    path = write_graph(tmp_path, **faults)
    with pytest.raises(BundleError, match=rf"member\.onnx: .*{says}"):
        check_graph(open_session(path, "cpu", 1), path, SPEC, len(LABELS))


def test_another_number_of_labels_is_refused(tmp_path: Path) -> None:
    path = write_graph(tmp_path)
    with pytest.raises(BundleError, match=r"output probabilities is .*, must be .*5\]"):
        check_graph(open_session(path, "cpu", 1), path, SPEC, 5)


@pytest.mark.parametrize("content", [b"", b"not a graph"])
def test_a_file_that_is_no_graph_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "member.onnx"
    path.write_bytes(content)
    with pytest.raises(BundleError, match=r"member\.onnx: no usable graph"):
        open_session(path, "cpu", 1)


def test_a_build_without_cuda_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(DeviceError, match="extra `gpu`"):
        require_cuda()


@pytest.mark.skipif(
    "CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="needs a build without CUDA"
)
@pytest.mark.filterwarnings("ignore:Specified provider")
def test_a_session_that_fell_back_to_the_cpu_is_refused(tmp_path: Path) -> None:
    # What ONNX Runtime does with an unknown provider is what it does with CUDA that fails to load.
    with pytest.raises(DeviceError, match=r"member\.onnx: .*CHIPVOTE_DEVICE=cpu"):
        open_session(write_graph(tmp_path), "cuda", 1)
