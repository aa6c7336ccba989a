from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from service.contract.bundle import Bundle
from service.contract.errors import BundleError, ServiceError, SettingsError, WrongAnswers
from service.contract.manifest import Precision
from service.contract.rules import Blend, Cooccurrence, ExpectedF, Rule
from service.engine.cpu import CpuBatch, CpuRunner
from service.engine.ensemble import TOLERANCE, Ensemble
from tests.kit.fakes import (
    BLUE,
    LABELS,
    MAJORITY,
    MEMBERS,
    RED,
    Chips,
    linear_members,
    make_bundle,
    make_raw_bundle,
    picture,
)

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
        assert vote.members == MEMBERS
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


def test_self_test_proves_the_early_exit_too(colours: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    ensemble = Ensemble(colours, "cpu", early_exit=True)
    ensemble.self_test()
    monkeypatch.setattr(colours.early_voter, "_order", [0])  # stops before the quorum can be there
    with pytest.raises(BundleError, match="4 of 16 golden decisions differ"):
        ensemble.self_test()


def test_early_exit_loads_the_open_chips_alone_and_only_when_they_are_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second member is against everything, so what the first is against too is settled."""
    thresholds = ((0.5,) * len(LABELS), (1.0,) * len(LABELS), (0.5,) * len(LABELS))
    bundle = make_bundle(tmp_path, rule=MAJORITY.model_copy(update={"thresholds": thresholds}))
    chips_BHWC = np.stack([np.asarray(picture(colour)) for colour in (RED, (90, 80, 70), BLUE)])
    whole = Ensemble(bundle, "cpu").vote(chips_BHWC)
    loaded: list[Chips] = []
    load = CpuRunner.load

    def recorded(runner: CpuRunner, chips_OHWC: Chips) -> CpuBatch:
        loaded.append(chips_OHWC)
        return load(runner, chips_OHWC)

    ensemble = Ensemble(bundle, "cpu", early_exit=True)
    monkeypatch.setattr(CpuRunner, "load", recorded)
    early = ensemble.vote(chips_BHWC)
    assert [vote.members for vote in early] == [3, 2, 3]
    assert [vote.predicted for vote in early] == [vote.predicted for vote in whole]
    assert len(loaded) == 2
    np.testing.assert_array_equal(loaded[0], chips_BHWC)
    np.testing.assert_array_equal(loaded[1], chips_BHWC[[0, 2]])


@pytest.mark.parametrize("rule", OTHERS, ids=lambda rule: rule.rule)
def test_a_rule_that_looks_at_all_members_has_no_early_exit(tmp_path: Path, rule: Rule) -> None:
    with pytest.raises(SettingsError, match=r"CHIPVOTE_EARLY_EXIT=true: .*all members.*set it to false"):
        Ensemble(make_bundle(tmp_path, rule=rule), "cpu", early_exit=True)


def test_self_test_fails_on_nan(tmp_path: Path) -> None:
    broken = make_bundle(
        tmp_path, graphs=lambda member: replace(member, bias_L=np.full_like(member.bias_L, np.nan)).graph()
    )
    with pytest.raises(WrongAnswers, match=r"golden\.npz: member0 \(float32 on cpu\) answered .* nan"):
        Ensemble(broken, "cpu").self_test()


@pytest.mark.parametrize("early_exit", [False, True])
def test_what_is_no_probability_becomes_an_error_and_never_a_label_set(
    colours: Bundle, monkeypatch: pytest.MonkeyPatch, early_exit: bool
) -> None:
    ensemble = Ensemble(colours, "cpu", early_exit=early_exit)
    chips_BHWC = colours.golden.chips_GHWC[:2]
    sound = np.full((2, len(LABELS)), 0.25, np.float32)
    strange = [sound - 0.5, sound + 1, sound * np.nan, sound + np.inf, sound[:1], np.tile(sound, (2, 1))]
    for probs_BL in [*strange, sound[:, :2]]:
        monkeypatch.setattr(CpuBatch, "run", lambda *_, probs_BL=probs_BL: probs_BL)
        with pytest.raises(ServiceError, match=r"answered .* where \(2, 4\) probabilities are due"):
            ensemble.vote(chips_BHWC)
        maps = np.zeros((*probs_BL.shape, 1, 1), np.float32)
        monkeypatch.setattr(CpuBatch, "explain", lambda *_, probs_BL=probs_BL, maps=maps: (probs_BL, maps))
        with pytest.raises(ServiceError, match="probabilities are due"):
            ensemble.vote(chips_BHWC, explain=True)
    for maps in (np.full((2, 4, 1, 1), np.nan), np.zeros((2, 3, 1, 1))):
        monkeypatch.setattr(CpuBatch, "explain", lambda *_, maps=maps: (sound, maps))
        with pytest.raises(ServiceError, match="evidence that is none"):
            ensemble.vote(chips_BHWC, explain=True)


def test_rounding_beyond_0_and_1_is_no_error(colours: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    probs_BL = np.array([[-1e-7, 1 + 1e-7, 0, 1]], np.float32)
    monkeypatch.setattr(CpuBatch, "run", lambda *_: probs_BL)
    assert Ensemble(colours, "cpu").vote(colours.golden.chips_GHWC[:1])[0].votes == [0, 3, 0, 3]


def test_a_uint16_bundle_reproduces_its_golden_answers(tmp_path: Path) -> None:
    bundle = make_raw_bundle(tmp_path)
    assert bundle.golden.chips_GHWC.dtype == np.uint16
    Ensemble(bundle, "cpu").self_test()


@pytest.mark.gpu
def test_cuda_reproduces_golden(colours: Bundle) -> None:
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime is built without CUDA")
    ensemble = Ensemble(colours, "cuda")
    ensemble.self_test()
    assert ensemble.device == "cuda"


@pytest.mark.parametrize("explain", [False, True])
def test_a_bundle_with_nodata_tells_its_share_of_each_chip(
    tmp_path: Path, colours: Bundle, explain: bool
) -> None:
    bundle = make_raw_bundle(tmp_path, "sentinel-2-l2a")
    chips_BHWC = bundle.golden.chips_GHWC[:2].copy()
    chips_BHWC[1, :16] = 0
    whole, cut = Ensemble(bundle, "cpu").vote(chips_BHWC, explain)
    assert (whole.blank, cut.blank) == (0, 0.25)
    assert Ensemble(colours, "cpu").vote(colours.golden.chips_GHWC, explain)[0].blank is None
