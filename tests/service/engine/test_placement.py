"""Where members run, seen through the ensemble that they make up."""

import logging
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from service.contract.bundle import Bundle
from service.contract.errors import DeviceError, SettingsError
from service.engine.autotune import Plan
from service.engine.cuda import CudaRunner
from service.engine.ensemble import Ensemble
from service.engine.sessions import Device, Gpu, open_on
from tests.kit.fakes import MEMBERS, make_bundle, make_raw_bundle


def test_auto_takes_the_fastest_plan_of_the_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    offered: list[Plan] = []

    def last(candidates: list[Plan], *_: object) -> tuple[Plan, dict[Plan, float]]:
        offered[:] = candidates
        return candidates[-1], dict.fromkeys(candidates, 12.345)

    monkeypatch.setattr("service.engine.placement.fastest", last)
    monkeypatch.setattr("service.engine.placement.processors", lambda: 2)
    both = make_bundle(tmp_path / "both", precisions=("float32", "float16", "int8"))
    with caplog.at_level(logging.INFO, "chipvote"):
        assert Ensemble(both, "cpu").precision == "float32"
    assert offered == [
        Plan("int8", 1, 2), Plan("int8", 2, 1), Plan("float32", 1, 2), Plan("float32", 2, 1),
    ]  # fmt: skip
    for threads, used in ((1, 1), (2, 2), (1024, 2)):
        Ensemble(both, "cpu", "float32", threads)
        assert {plan.threads * plan.side_by_side for plan in offered} == {used}
    assert "float32, 2 thread(s), 1 chip(s) side by side: 12.3 chips/s, taken" in caplog.text
    assert Ensemble(both, "cpu", "float16", threads=1).precision == "float16"
    half = make_bundle(tmp_path / "half", precisions=("float16",))
    assert Ensemble(half, "cpu").precision == "float16"


def test_a_precision_that_the_bundle_lacks_is_refused(colours: Bundle) -> None:
    with pytest.raises(SettingsError, match=r"CHIPVOTE_PRECISION=int8: .* has float32"):
        Ensemble(colours, "cpu", "int8")


def test_a_gpu_is_not_asked_for_int8(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("service.engine.placement.require_cuda", lambda _: None)
    bundle = make_bundle(tmp_path, precisions=["int8"])
    with pytest.raises(DeviceError, match=r"has int8, and a GPU runs float16 and float32 only.*export"):
        Ensemble(bundle, "cuda")
    with pytest.raises(DeviceError, match="set another CHIPVOTE_PRECISION"):
        Ensemble(make_bundle(tmp_path / "both", precisions=["int8", "float32"]), "cuda", "int8")
    with caplog.at_level(logging.INFO, "chipvote"):
        assert Ensemble(bundle).device == "cpu"
    assert "device auto: cpu, because" in caplog.text


def test_auto_device_says_what_it_chose(colours: Bundle, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "chipvote"):
        ensemble = Ensemble(colours)
    assert f"device auto: {ensemble.device}" in caplog.text


def test_cuda_is_not_replaced_by_the_cpu(colours: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(DeviceError, match="without CUDA"):
        Ensemble(colours, "cuda")


@pytest.mark.parametrize("uint16", [False, True])
def test_on_cuda_members_run_in_fixed_buffers(
    colours: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uint16: bool
) -> None:
    """The wiring, with sessions and buffers that lie on the CPU."""
    asked: list[tuple[Device, Gpu]] = []

    def open_on_cpu(
        device: Device, path: Path, threads: int, gpu: Gpu, *, exact: bool, data: bytes
    ) -> onnxruntime.InferenceSession:
        assert not exact
        asked.append((device, gpu))
        return open_on("cpu", path, 1, data=data)

    monkeypatch.setattr("service.engine.placement.require_cuda", lambda _: None)
    monkeypatch.setattr("service.engine.placement.open_on", open_on_cpu)
    monkeypatch.setattr("service.engine.placement.CudaRunner", partial(CudaRunner, place="cpu"))
    bundle = make_raw_bundle(tmp_path) if uint16 else colours
    bands = len(bundle.manifest.input.bands)
    ensemble = Ensemble(bundle, "cuda", gpu=Gpu(tensorrt=tmp_path), max_batch=20)
    gpu = Gpu(tensorrt=tmp_path, graphs=False, largest=(24, 64, 64, bands))
    assert asked == [("cuda", gpu)] * MEMBERS
    ensemble.self_test()
    ensemble.warm_up(6)
    chips_BHWC = np.tile(bundle.golden.chips_GHWC, (2, 1, 1, 1))[:5]
    on_cpu = Ensemble(bundle, "cpu").probabilities(chips_BHWC)
    np.testing.assert_allclose(ensemble.probabilities(chips_BHWC), on_cpu, atol=1e-6)
    assert ensemble.vote(chips_BHWC) == Ensemble(bundle, "cpu").vote(chips_BHWC)
