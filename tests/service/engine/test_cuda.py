"""The GPU's runner on ONNX Runtime's own buffers and bindings, which lie on the CPU here."""

import ctypes
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest

from service.contract.errors import DeviceError
from service.engine import cuda
from service.engine.cuda import GRAPH_BATCH, CudaRunner, padded
from service.engine.sessions import Gpu, open_on, require_cuda
from tests.kit.fakes import BLUE, LABELS, MEMBERS, RED, SIZE_PX, linear_members, picture

SHAPE = (SIZE_PX, SIZE_PX, 3)
needs_cuda = pytest.mark.skipif(
    "CUDAExecutionProvider" not in onnxruntime.get_available_providers(),
    reason="needs ONNX Runtime with CUDA",
)


class Session:
    """A session on the CPU that notes its runs, and can be made to fail in a recording."""

    def __init__(self, path: Path) -> None:
        self._session = open_on("cpu", path, 1)
        self.runs: list[tuple[int, str]] = []  # batch size, number of the graph
        self.recorded: set[str] = set()
        self.forgets = False  # replays what the recording answered
        self.breaks = False

    def get_outputs(self) -> Any:  # noqa: ANN401
        return self._session.get_outputs()

    def io_binding(self) -> Any:  # noqa: ANN401
        return self._session.io_binding()

    def run_with_iobinding(self, binding: Any, options: Any) -> None:  # noqa: ANN401
        graph = options.get_run_config_entry("gpu_graph_id")
        size = binding._bound_inputs["chips"].shape()[0]
        self.runs.append((size, graph))
        if graph != "-1" and self.breaks:
            raise RuntimeError("an operation is not permitted\nwhile a stream captures")
        if not (self.forgets and graph in self.recorded):
            self._session.run_with_iobinding(binding, options)
        if graph != "-1":
            self.recorded.add(graph)

    def run(self, outputs: list[str], inputs: Any, options: Any) -> Any:  # noqa: ANN401
        assert options.get_run_config_entry("gpu_graph_id") == "-1"
        return self._session.run(outputs, inputs, options)


Open = Callable[[bool], Sequence[Any]]


@pytest.fixture
def opened() -> list[list[Session]]:
    """The sessions of every opening."""
    return []


@pytest.fixture
def open_sessions(tmp_path: Path, opened: list[list[Session]]) -> Open:
    for index, member in enumerate(linear_members()):
        (tmp_path / f"{index}.onnx").write_bytes(member.graph())

    def open_them(graphs: bool) -> list[Session]:
        opened.append([Session(tmp_path / f"{index}.onnx") for index in range(MEMBERS)])
        return opened[-1]

    return open_them


def noise(count: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(count).integers(0, 256, (count, *SHAPE), np.uint8)


def assert_answers(runner: CudaRunner, chips_BHWC: npt.NDArray[np.uint8]) -> None:
    loaded = runner.load(chips_BHWC)
    for index, member in enumerate(linear_members()):
        probs_BL = loaded.run(index)
        assert probs_BL.dtype == np.float32
        np.testing.assert_allclose(probs_BL, member.probabilities(chips_BHWC), atol=1e-6)


def test_a_batch_is_padded_to_few_sizes() -> None:
    assert [padded(count) for count in (1, 2, 3, 5, 9, 16)] == [1, 2, 4, 8, 16, 16]
    assert [padded(count) for count in (17, 24, 25, 33, 48, 49, 65, 97)] == [24, 24, 32, 48, 48, 64, 96, 128]
    counts = np.arange(1, 1025)
    sizes = np.array([padded(int(count)) for count in counts])
    assert (sizes >= counts).all()
    assert len(set(sizes)) == 17
    assert (counts / sizes)[16:].min() > 2 / 3


def test_every_load_gives_its_own_chips_answers(open_sessions: Open) -> None:
    runner = CudaRunner(open_sessions, graphs=False, place="cpu")
    colours = np.stack([np.asarray(picture(colour)) for colour in (RED, BLUE, RED)])
    for chips_BHWC in (noise(5), colours, noise(5)[1:4], noise(20), colours[:1], noise(5)):
        assert_answers(runner, chips_BHWC)


def test_an_answer_outlives_the_next_run(open_sessions: Open) -> None:
    runner = CudaRunner(open_sessions, graphs=False, place="cpu")
    first = runner.load(noise(2))
    first_BL = first.run(0)
    kept_BL = first_BL.copy()
    first.run(1)
    runner.load(noise(2)[::-1]).run(0)
    np.testing.assert_array_equal(first_BL, kept_BL)


def test_members_share_one_input_and_one_output_buffer(open_sessions: Open) -> None:
    runner = CudaRunner(open_sessions, graphs=False, place="cpu")
    bindings = [binding for count in (3, 4) for binding in runner.load(noise(count)).buffers.bindings]
    inputs = {binding._bound_inputs["chips"].data_ptr() for binding in bindings}
    outputs = {binding._bound_outputs["probabilities"].data_ptr() for binding in bindings}
    assert (len(inputs), len(outputs)) == (1, 1)


def test_warm_up_runs_every_size_before_the_first_recording(
    open_sessions: Open, opened: list[list[Session]], caplog: pytest.LogCaptureFixture
) -> None:
    runner = CudaRunner(open_sessions, graphs=True, place="cpu")
    with caplog.at_level(logging.INFO, "chipvote"):
        runner.warm_up(SHAPE, "uint8", 21)
    assert "CUDA graphs: on" in caplog.text
    for session in opened[0]:
        graphs = [graph for _, graph in session.runs]
        first = next(index for index, graph in enumerate(graphs) if graph != "-1")
        assert [size for size, _ in session.runs[:first]][:12] == [24, 16, 8, 4, 2, 1] * 2
        assert session.recorded == {"1", "2", "4", "8", "16"}
        assert max(size for size, graph in session.runs if graph != "-1") == GRAPH_BATCH
    assert_answers(runner, noise(3))
    assert opened[0][0].runs[-1] == (4, "4")
    assert_answers(runner, noise(17))
    assert opened[0][0].runs[-1] == (24, "-1")


def test_a_size_met_after_the_recording_ends_replays(
    open_sessions: Open, opened: list[list[Session]]
) -> None:
    runner = CudaRunner(open_sessions, graphs=True, place="cpu")
    runner.warm_up(SHAPE, "uint8", 2)
    assert_answers(runner, noise(3))
    assert_answers(runner, noise(2))
    assert [graph for _, graph in opened[0][0].runs[-2:]] == ["-1", "-1"]


def test_another_thread_does_not_replay(open_sessions: Open, opened: list[list[Session]]) -> None:
    runner = CudaRunner(open_sessions, graphs=True, place="cpu")
    runner.warm_up(SHAPE, "uint8", 2)
    with ThreadPoolExecutor(1) as other:
        other.submit(assert_answers, runner, noise(2)).result()
    assert opened[0][0].runs[-1] == (2, "-1")
    assert_answers(runner, noise(2))
    assert opened[0][0].runs[-1] == (2, "2")


def test_without_graphs_nothing_is_recorded(open_sessions: Open, opened: list[list[Session]]) -> None:
    CudaRunner(open_sessions, graphs=False, place="cpu").warm_up(SHAPE, "uint8", 4)
    assert {graph for session in opened[0] for _, graph in session.runs} == {"-1"}


@pytest.mark.parametrize(
    ("fault", "says"),
    [("breaks", "not permitted while a stream captures"), ("forgets", "answers otherwise than a plain run")],
)
def test_a_recording_that_fails_or_lies_is_given_up_loudly(
    open_sessions: Open,
    opened: list[list[Session]],
    caplog: pytest.LogCaptureFixture,
    fault: str,
    says: str,
) -> None:
    runner = CudaRunner(open_sessions, graphs=True, place="cpu")
    setattr(opened[0][2], fault, True)
    with caplog.at_level(logging.INFO, "chipvote"):
        runner.warm_up(SHAPE, "uint8", 4)
    assert "CUDA graphs: off, because" in caplog.text
    assert says in caplog.text
    assert len(opened) == 2  # a stream that broke off in the middle is not used again
    assert_answers(runner, noise(4))
    assert {graph for session in opened[1] for _, graph in session.runs} == {"-1"}


def test_a_batch_that_does_not_run_says_what_to_change(
    open_sessions: Open, opened: list[list[Session]], monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = CudaRunner(open_sessions, graphs=True, place="cpu")

    def fail(binding: Any, options: Any) -> None:  # noqa: ANN401
        raise RuntimeError("Available memory of 1 is smaller")

    monkeypatch.setattr(opened[0][1], "run_with_iobinding", fail)
    with pytest.raises(DeviceError, match=r"batch of 4 .*Available memory.*CHIPVOTE_GPU_MEMORY_BYTES.*BATCH"):
        runner.warm_up(SHAPE, "uint8", 3)


def test_without_cuda_a_buffer_stays_pageable_and_it_is_said(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxruntime, "cuda_version", "0.0")
    with caplog.at_level(logging.INFO, "chipvote"):
        cuda.page_lock(np.zeros(4096, np.uint8))
    assert "no page-locked memory (libcudart.so.0" in caplog.text


def cudart_of(*, free_bytes: int = 0, total_bytes: int = 0, status: int = 0) -> SimpleNamespace:
    """A CUDA runtime that knows its device's memory; called as C is."""
    size = ctypes.POINTER(ctypes.c_size_t)

    def get_info(free: Any, total: Any) -> int:  # noqa: ANN401
        free[0], total[0] = free_bytes, total_bytes
        return status

    return SimpleNamespace(cudaMemGetInfo=ctypes.CFUNCTYPE(ctypes.c_int, size, size)(get_info))


def test_device_memory_is_what_the_cuda_runtime_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "_cudart", lambda: cudart_of(free_bytes=3 << 33, total_bytes=5 << 34))
    assert cuda.device_memory() == ((5 << 34) - (3 << 33), 5 << 34)


def test_device_memory_that_cannot_be_read_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "cuda_version", "0.0")
    assert cuda.device_memory() is None
    monkeypatch.setattr(cuda, "_cudart", lambda: cudart_of(status=100))
    assert cuda.device_memory() is None
    monkeypatch.setattr(cuda, "_cudart", SimpleNamespace)
    assert cuda.device_memory() is None


@pytest.mark.gpu
@needs_cuda
@pytest.mark.parametrize("gpu", [Gpu(), Gpu(graphs=False), Gpu(memory_bytes=1 << 28)])
def test_on_a_gpu_every_batch_size_answers_right(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, gpu: Gpu
) -> None:
    for index, member in enumerate(linear_members()):
        (tmp_path / f"{index}.onnx").write_bytes(member.graph())
    try:
        require_cuda(gpu)
        runner = CudaRunner(
            lambda graphs: [
                open_on("cuda", tmp_path / f"{index}.onnx", 1, gpu._replace(graphs=graphs))
                for index in range(MEMBERS)
            ],
            graphs=gpu.records,
        )
    except DeviceError as error:
        pytest.skip(str(error))
    with caplog.at_level(logging.INFO, "chipvote"):
        runner.warm_up(SHAPE, "uint8", 24)
    assert ("CUDA graphs: on" in caplog.text) == gpu.records
    assert "page-locked" not in caplog.text
    with ThreadPoolExecutor(1) as other:
        memory = other.submit(cuda.device_memory).result()
    assert memory and 0 < memory[0] <= memory[1]
    for count in (1, 3, 24, 5, 16, 1, 30, 2):
        loaded = runner.load(noise(count))
        for index, member in enumerate(linear_members()):
            assert loaded.run(index).shape == (count, len(LABELS))
            np.testing.assert_allclose(loaded.run(index), member.probabilities(noise(count)), atol=1e-4)


def test_a_closer_look_gives_the_evidence_of_the_chips_alone(
    opened: list[list[Session]], open_sessions: Open
) -> None:
    runner = CudaRunner(open_sessions, graphs=False, place="cpu")
    loaded = runner.load(np.zeros((3, 64, 64, 3), np.uint8))
    probs_BL, maps_BLhw = loaded.explain(0)
    np.testing.assert_array_equal(probs_BL, loaded.run(0))
    assert maps_BLhw.shape[:2] == probs_BL.shape
    assert maps_BLhw.ndim == 4
