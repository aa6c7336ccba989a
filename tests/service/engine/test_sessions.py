from pathlib import Path
from typing import Any

import onnxruntime
import pytest

from service.contract.errors import BundleError, DeviceError
from service.contract.manifest import InputSpec
from service.engine.sessions import Gpu, check_graph, open_on, require_cuda
from tests.kit.fakes import LABELS, SIZE_PX, linear_members

SPEC = InputSpec(bands=("red", "green", "blue"), height=SIZE_PX, width=SIZE_PX)


def write_graph(folder: Path, **faults: Any) -> Path:  # noqa: ANN401
    path = folder / "member.onnx"
    path.write_bytes(linear_members()[0].graph(**faults))
    return path


def test_a_sound_graph_passes(tmp_path: Path) -> None:
    path = write_graph(tmp_path)
    check_graph(open_on("cpu", path, 1), path, SPEC, len(LABELS))


def test_a_uint16_graph_fits_a_uint16_bundle_only(tmp_path: Path) -> None:
    path = write_graph(tmp_path, input_type=4)
    session, raw = open_on("cpu", path, 1), SPEC.model_copy(update={"dtype": "uint16"})
    check_graph(session, path, raw, len(LABELS))
    with pytest.raises(BundleError, match=r"must be tensor\(uint16\)"):
        check_graph(open_on("cpu", write_graph(tmp_path), 1), path, raw, len(LABELS))


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
        check_graph(open_on("cpu", path, 1), path, SPEC, len(LABELS))


def test_another_number_of_labels_is_refused(tmp_path: Path) -> None:
    path = write_graph(tmp_path)
    with pytest.raises(BundleError, match=r"output probabilities is .*, must be .*5\]"):
        check_graph(open_on("cpu", path, 1), path, SPEC, 5)


@pytest.mark.parametrize("content", [b"", b"not a graph"])
def test_a_file_that_is_no_graph_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "member.onnx"
    path.write_bytes(content)
    with pytest.raises(BundleError, match=r"member\.onnx: no usable graph"):
        open_on("cpu", path, 1)


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
        open_on("cuda", write_graph(tmp_path), 1)


def test_the_reason_of_a_cuda_failure_is_not_buried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:  # noqa: ANN401
        raise RuntimeError("file.cc:154 std::conditional_t<THRW>\nCUDA failure 35: driver is insufficient")

    monkeypatch.setattr(onnxruntime, "InferenceSession", fail)
    with pytest.raises(DeviceError, match=r"on cuda \(CUDA failure 35: driver is insufficient\); check"):
        open_on("cuda", write_graph(tmp_path), 1)


class Opened:
    """What ONNX Runtime was asked for; came up on the given provider."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, comes_up: str = "CUDAExecutionProvider") -> None:
        self._comes_up = comes_up
        monkeypatch.setattr(onnxruntime, "InferenceSession", self._open)

    def _open(self, path: Path, options: Any, providers: Any, enable_fallback: bool) -> "Opened":  # noqa: ANN401
        assert not enable_fallback
        self.options, self.providers = options, dict(providers)
        self.first = providers[0][0]
        return self

    def get_providers(self) -> list[str]:
        return [self._comes_up, "CPUExecutionProvider"]

    def entry(self, name: str) -> str:
        return str(self.options.get_session_config_entry(name))


def test_on_cuda_nothing_falls_back_and_graphs_can_be_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Opened(monkeypatch)
    open_on("cuda", write_graph(tmp_path), 1)
    assert opened.entry("session.disable_cpu_ep_fallback") == "1"
    assert opened.entry("session.use_env_allocators") == "0"
    cuda = opened.providers["CUDAExecutionProvider"]
    assert (cuda["enable_cuda_graph"], cuda["use_tf32"]) == ("1", "0")
    assert cuda["cudnn_conv_algo_search"] == "HEURISTIC"
    open_on("cuda", write_graph(tmp_path), 1, Gpu(graphs=False, nhwc=True))
    plain = opened.providers["CUDAExecutionProvider"]
    assert (plain["enable_cuda_graph"], plain["prefer_nhwc"], cuda["prefer_nhwc"]) == ("0", "1", "0")


def test_capped_memory_is_shared_and_records_no_graphs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Opened(monkeypatch)
    open_on("cuda", write_graph(tmp_path), 1, Gpu(memory_bytes=1 << 30))
    assert opened.entry("session.use_env_allocators") == "1"
    assert opened.providers["CUDAExecutionProvider"]["enable_cuda_graph"] == "0"
    asked: list[tuple[str, int]] = []
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None)
    monkeypatch.setattr(
        onnxruntime,
        "create_and_register_allocator_v2",
        lambda provider, place, options, arena: asked.append((provider, arena.max_mem)),
    )
    require_cuda(Gpu(memory_bytes=1 << 30))
    require_cuda()
    assert asked == [("CUDAExecutionProvider", 1 << 30)]


def test_memory_that_cannot_be_shared_is_a_device_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None)
    with pytest.raises(DeviceError, match="CUDA did not come up"):
        require_cuda(Gpu(memory_bytes=1 << 30))  # no device, or a build without one


def test_tensorrt_comes_first_with_an_engine_of_the_graphs_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Opened(monkeypatch, "TensorrtExecutionProvider")
    path, gpu = write_graph(tmp_path), Gpu(tensorrt=tmp_path / "engines", half=True, largest=(48, 64, 64, 3))
    open_on("cuda", path, 1, gpu)
    assert opened.first == "TensorrtExecutionProvider"
    first = opened.providers["TensorrtExecutionProvider"]
    assert first["trt_fp16_enable"] == "1"
    assert first["trt_profile_min_shapes"] == "chips:1x64x64x3"
    assert first["trt_profile_opt_shapes"] == first["trt_profile_max_shapes"] == "chips:48x64x64x3"
    assert opened.providers["CUDAExecutionProvider"]["enable_cuda_graph"] == "0"
    assert not gpu.records
    path.write_bytes(linear_members()[1].graph())
    open_on("cuda", path, 1, gpu)
    second = opened.providers["TensorrtExecutionProvider"]
    assert first["trt_engine_cache_path"] != second["trt_engine_cache_path"]


def test_tensorrt_that_does_not_come_up_is_not_replaced_by_cuda(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Opened(monkeypatch, "CUDAExecutionProvider")
    with pytest.raises(DeviceError, match=r"TensorrtExecutionProvider did not come up.*CHIPVOTE_TENSORRT"):
        open_on("cuda", write_graph(tmp_path), 1, Gpu(tensorrt=tmp_path, largest=(1, 64, 64, 3)))
