"""Shape suffixes: B chips, H height, W width, C bands."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from service.contract.bundle import Bundle
from service.contract.rules import ExpectedF, Vote
from tests.kit import networks, stripes
from training.data.dataset import Dataset
from training.decision.rule import TunedRule, read_rule
from training.export.members import check_thresholds, finished_member, plan_members, spread
from training.export.parity import graph_answers, torch_answers
from training.run.folder import Run

VOTE = Vote(thresholds=((0.1, 0.2, 0.3, 0.4), (0.5, 0.6, 0.7, 0.8)), weights=((1,) * 4,) * 2, quorum=(2,) * 4)
AVERAGED = ["test_resnet", "test_byobnet"]


def test_members_are_planned_per_architecture_or_per_fold_too(trained: Run) -> None:
    averaged = plan_members(trained, TunedRule(VOTE))
    assert [(member.name, member.folds) for member in averaged] == [(name, (0, 1)) for name in AVERAGED]
    run = replace(trained, config=replace(trained.config, fold_members="separate"))
    separate = plan_members(run, TunedRule(VOTE))
    assert [(member.name, member.folds) for member in separate] == [
        (f"{name}-fold{fold}", (fold,)) for name in AVERAGED for fold in (0, 1)
    ]
    for member in (*averaged, *separate):
        row = AVERAGED.index(member.config.architecture)
        assert member.thresholds == VOTE.thresholds[row]


def test_graphs_of_a_rule_without_thresholds_for_members_are_compared_at_the_prior(trained: Run) -> None:
    rule = ExpectedF(beta=2.0, weights=((1,) * 4,) * 2, knots=(((0.5, 0.5),),) * 4)
    decision = replace(trained.config.decision, prior=0.3)
    run = replace(trained, config=replace(trained.config, decision=decision))
    assert check_thresholds(run, TunedRule(rule)) == ((0.3,) * 4,) * 2
    assert [member.thresholds for member in plan_members(run, TunedRule(rule))] == [(0.3,) * 4] * 2


@pytest.mark.parametrize(("total", "wanted"), [(10, 4), (10, 10), (3, 10), (1000, 7), (1, 1)])
def test_spread_takes_rows_from_end_to_end(total: int, wanted: int) -> None:
    rows = spread(total, wanted)
    assert len(rows) == min(total, wanted)
    assert (rows[0], rows[-1]) == (0, total - 1)
    assert np.ptp(np.diff(rows)) <= 1 if len(rows) > 1 else True


def test_an_averaged_member_is_the_mean_of_its_folds_weights(
    exported: tuple[Run, Bundle], tiny_dataset: Dataset
) -> None:
    run, bundle = exported
    chips_BHWC = np.array(tiny_dataset.chips_NHWC[:8])
    for config, member in zip(stripes.CONFIG.members, bundle.manifest.members, strict=True):
        found = graph_answers(bundle.graph_path(member, "float32"), chips_BHWC)[0]
        expected = torch_answers(networks.served(networks.network_of(run, config, [0, 1])), chips_BHWC)[0]
        one_fold = torch_answers(networks.served(networks.network_of(run, config, [0])), chips_BHWC)[0]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
        assert np.abs(found - one_fold).max() > 1e-3


def test_a_finished_member_is_taken_as_it_is_until_its_thresholds_change(
    trained: Run, tmp_path: Path, tiny_dataset: Dataset, quick_export: list[str]
) -> None:
    run = stripes.copy_of(trained, tmp_path / "run")
    first, _ = plan_members(run, read_rule(run))
    member = finished_member(run, first, tiny_dataset)
    assert finished_member(run, first, tiny_dataset) == member
    assert quick_export == ["test_resnet"]
    assert set(member.graphs) == set(stripes.CONFIG.precisions)
    for precision, graph in member.graphs.items():
        assert graph.file.path == f"test_resnet.{precision}.onnx"
        assert (run.folder / "members" / graph.file.path).stat().st_size == graph.file.size_bytes
        assert graph.check.chips == stripes.CHIPS
    changed, _ = plan_members(run, TunedRule(VOTE))
    assert finished_member(run, changed, tiny_dataset).graphs["int8"].file == member.graphs["int8"].file
    assert quick_export == ["test_resnet"] * 2


def test_a_finished_member_is_made_again_when_a_graph_or_a_fit_is_another(
    trained: Run, tmp_path: Path, tiny_dataset: Dataset, quick_export: list[str]
) -> None:
    run = stripes.copy_of(trained, tmp_path / "run")
    first, _ = plan_members(run, read_rule(run))
    member = finished_member(run, first, tiny_dataset)
    graph = run.folder / "members" / "test_resnet.float16.onnx"
    graph.write_bytes(b"cut short")
    assert finished_member(run, first, tiny_dataset) == member
    graph.unlink()
    assert finished_member(run, first, tiny_dataset) == member
    later_s = graph.stat().st_mtime + 10
    os.utime(run.fit_path("test_resnet", 1), (later_s, later_s))
    finished_member(run, first, tiny_dataset)
    assert quick_export == ["test_resnet"] * 4


def test_a_graph_that_fails_its_check_leaves_no_file(
    trained: Run,
    tmp_path: Path,
    tiny_dataset: Dataset,
    quick_export: list[str],
) -> None:
    run = stripes.copy_of(trained, tmp_path / "run")
    fit = run.fit_path("test_resnet", 0)
    fit.write_bytes(run.fit_path("test_resnet", 1).read_bytes())  # the copied graph is now a wrong one
    first, _ = plan_members(run, read_rule(run))
    with pytest.raises(ValueError, match="probabilities differ from PyTorch's"):
        finished_member(run, first, tiny_dataset)
    assert list((run.folder / "members").iterdir()) == []
