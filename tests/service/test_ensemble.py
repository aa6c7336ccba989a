import logging
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from service.bundle import Bundle, Precision
from service.cuda import CudaRunner
from service.ensemble import PREFERENCE, TOLERANCE, Ensemble
from service.errors import BundleError, DeviceError, SettingsError
from service.rules import Blend, Cooccurrence, ExpectedF, Rule
from service.sessions import Device, Gpu, open_session
from tests.fakes import BLUE, LABELS, MEMBERS, RED, linear_members, make_bundle, make_raw_bundle, picture

IDENTITY = tuple(tuple(float(row == column) / MEMBERS for column in range(4)) for row in range(4))
OTHERS: tuple[Rule, ...] = (
    Blend(coefficients=(IDENTITY,) * MEMBERS, intercepts=(0.01,) * 4, thresholds=(0.5,) * 4),
    ExpectedF(
        beta=2.0,
        weights=((1,) * 4,) * MEMBERS,
        knots=(((0.0, 0.0), (1.0, 0.9)),) * 4,
        cooccurrence=Cooccurrence(exclusive=((0, 1, 2, 3),)),
    ),
)


def test_probabilities_are_each_members_own(colours: Bundle) -> None:
    chips_BHWC = np.stack([np.asarray(picture(colour)) for colour in (RED, BLUE, (90, 80, 70))])
    probs_MBL = Ensemble(colours, "cpu").probabilities(chips_BHWC)
    assert probs_MBL.shape == (MEMBERS, 3, len(LABELS))
    assert probs_MBL.dtype == np.float32
    expected_MBL = np.stack([member.probabilities(chips_BHWC) for member in linear_members()])
    np.testing.assert_allclose(probs_MBL, expected_MBL, atol=1e-6)


def test_a_chips_answer_does_not_depend_on_its_batch(colours: Bundle) -> None:
    ensemble = Ensemble(colours, "cpu", threads=1)
    chips_BHWC = colours.golden.chips_GHWC
    together = ensemble.vote(chips_BHWC)
    assert [ensemble.vote(chips_BHWC[index : index + 1])[0] for index in range(4)] == together


def test_vote_averages_and_counts(colours: Bundle) -> None:
    ensemble = Ensemble(colours, "cpu")
    chips_BHWC = colours.golden.chips_GHWC
    vote = ensemble.vote(chips_BHWC)[0]
    assert vote.predicted == [True, False, False, False]
    assert vote.votes == [MEMBERS, 0, 0, 0]
    mean_L = ensemble.probabilities(chips_BHWC)[:, 0].mean(axis=0)
    np.testing.assert_allclose(vote.probabilities, mean_L, atol=1e-6)


@pytest.mark.parametrize("rule", OTHERS, ids=lambda rule: rule.rule)
def test_other_rules_are_served_as_they_decide(tmp_path: Path, rule: Rule) -> None:
    bundle = make_bundle(tmp_path, rule=rule)
    ensemble = Ensemble(bundle, "cpu")
    ensemble.self_test()
    chips_BHWC = bundle.golden.chips_GHWC
    decision = rule.decider().decide(ensemble.probabilities(chips_BHWC))
    assert decision.labels_BL.any()
    for row, vote in enumerate(ensemble.vote(chips_BHWC)):
        assert vote.predicted == decision.labels_BL[row].tolist()
        assert vote.votes == [0] * len(LABELS)
        assert vote.probabilities == decision.probabilities_BL[row].round(6).tolist()


def test_self_test_passes_at_every_precision(tmp_path: Path) -> None:
    precisions: tuple[Precision, ...] = ("float32", "float16", "int8")
    bundle = make_bundle(tmp_path, precisions=precisions)
    for precision in precisions:
        Ensemble(bundle, "cpu", precision).self_test()


@pytest.mark.parametrize("precision", TOLERANCE)
@pytest.mark.parametrize("times_tolerance", [0.9, 1.1])
def test_self_test_holds_probabilities_to_the_precision(
    tmp_path: Path, precision: Precision, times_tolerance: float
) -> None:
    shift = TOLERANCE[precision] * times_tolerance
    ensemble = Ensemble(make_bundle(tmp_path, precisions=[precision], golden_shift=shift), "cpu")
    if times_tolerance < 1:
        ensemble.self_test()
        return
    with pytest.raises(BundleError, match=r"golden\.npz.* 0 of 16 golden decisions.*export"):
        ensemble.self_test()


def test_self_test_holds_decisions_exactly(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"16 of 16 golden decisions differ"):
        Ensemble(make_bundle(tmp_path, golden_flip=True), "cpu").self_test()


def test_self_test_fails_on_nan(tmp_path: Path) -> None:
    broken = make_bundle(
        tmp_path, graphs=lambda member: replace(member, bias_L=np.full_like(member.bias_L, np.nan)).graph()
    )
    with pytest.raises(BundleError, match="off by up to nan"):
        Ensemble(broken, "cpu").self_test()


def test_a_uint16_bundle_reproduces_its_golden_answers(tmp_path: Path) -> None:
    bundle = make_raw_bundle(tmp_path)
    assert bundle.golden.chips_GHWC.dtype == np.uint16
    Ensemble(bundle, "cpu").self_test()


def test_auto_takes_the_fastest_precision_of_the_bundle(tmp_path: Path) -> None:
    both = make_bundle(tmp_path / "both", precisions=("float32", "int8"))
    assert Ensemble(both, "cpu").precision == "int8"
    half = make_bundle(tmp_path / "half", precisions=("float32", "float16"))
    assert Ensemble(half, "cpu").precision == "float32"
    assert sorted(PREFERENCE["cpu"]) == sorted(TOLERANCE)


def test_a_precision_that_the_bundle_lacks_is_refused(colours: Bundle) -> None:
    with pytest.raises(SettingsError, match=r"CHIPVOTE_PRECISION=int8: .* has float32"):
        Ensemble(colours, "cpu", "int8")


def test_a_gpu_is_not_asked_for_int8(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("service.ensemble.require_cuda", lambda _: None)
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

    def open_on_cpu(path: Path, device: Device, threads: int, gpu: Gpu) -> onnxruntime.InferenceSession:
        asked.append((device, gpu))
        return open_session(path, "cpu", 1)

    monkeypatch.setattr("service.ensemble.require_cuda", lambda _: None)
    monkeypatch.setattr("service.ensemble.open_session", open_on_cpu)
    monkeypatch.setattr("service.ensemble.CudaRunner", partial(CudaRunner, place="cpu"))
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


@pytest.mark.gpu
def test_cuda_reproduces_golden(colours: Bundle) -> None:
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime is built without CUDA")
    ensemble = Ensemble(colours, "cuda")
    ensemble.self_test()
    assert ensemble.device == "cuda"
