"""Shape suffixes: M members, N chips, L labels."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from service.contract.bundle import Bundle
from service.contract.decision import Voter, strict_majority
from tests.kit.fakes import Array, Float
from training.data.dataset import Dataset
from training.export import early_exit
from training.export.early_exit import COST_STEP, cheapest_order, measure, plan_early_exit, simulate
from training.export.parity import graph_answers


def equal_voter(members: int, labels: int = 2) -> Voter:
    ones_ML = np.ones((members, labels), np.int64)
    return Voter(np.full((members, labels), 0.5, np.float32), ones_ML, strict_majority(ones_ML.sum(axis=0)))


def answers(*rows: str) -> Float:
    """A row per member, a digit per chip: 1 is for the first label; nobody is for the second."""
    in_favour_MN = np.array([[float(digit) for digit in row] for row in rows], np.float32)
    return np.stack([in_favour_MN, np.zeros_like(in_favour_MN)], axis=2)


def test_a_simulation_adds_up_what_ran() -> None:
    """Of four chips, the first two members agree on three."""
    probs_MNL = answers("1001", "1000", "1011")
    costs_M = np.array([1.0, 2.0, 4.0])
    assert simulate(equal_voter(3), (0, 1, 2), costs_M, probs_MNL) == ((3 * 4 + 4) / 4, 9 / 4)
    assert simulate(equal_voter(3), (2, 0, 1), costs_M, probs_MNL) == ((5 * 4 + 2) / 4, 9 / 4)


def test_equal_members_are_asked_where_they_agree_most() -> None:
    probs_MNL = answers("1100", "0011", "1101")
    assert cheapest_order(equal_voter(3), np.ones(3), probs_MNL) == (0, 2, 1)


def test_a_dear_member_is_asked_last_unless_the_others_quarrel() -> None:
    costs_M = np.array([3.0, 1.0, 1.0])
    assert cheapest_order(equal_voter(3), costs_M, answers("1111", "1110", "1110"))[2] == 0
    assert cheapest_order(equal_voter(3), costs_M, answers("1111", "1111", "0000"))[2] == 2


def random_case(members: int, seed: int) -> tuple[Voter, Array, Float]:
    """Members of different skill and cost, and of different weight on each label."""
    random = np.random.default_rng(seed)
    weights_ML = random.integers(0, 3, (members, 3))
    weights_ML[0] += 1
    quorum_L = strict_majority(weights_ML.sum(axis=0))
    truth_NL = random.random((60, 3)) < 0.4
    noise_M11 = random.uniform(0.1, 0.9, (members, 1, 1))
    probs_MNL = np.where(random.random((members, 60, 3)) < noise_M11 / 2, ~truth_NL, truth_NL)
    voter = Voter(np.full((members, 3), 0.5, np.float32), weights_ML, quorum_L)
    return voter, 1 + COST_STEP * random.integers(0, 9, members), probs_MNL.astype(np.float32)


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_few_members_is_the_best_of_all(seed: int) -> None:
    voter, costs_M, probs_MNL = random_case(4, seed)
    found = cheapest_order(voter, costs_M, probs_MNL)
    costs = [simulate(voter, o, costs_M, probs_MNL)[0] for o in itertools.permutations(range(4))]
    assert simulate(voter, found, costs_M, probs_MNL)[0] == min(costs)


def test_the_order_of_many_members_is_about_as_good(monkeypatch: pytest.MonkeyPatch) -> None:
    """Searched both ways with five; with nine, no exchange of two is better."""
    ratios = []
    for seed in range(3):
        voter, costs_M, probs_MNL = random_case(5, seed)
        best = simulate(voter, cheapest_order(voter, costs_M, probs_MNL), costs_M, probs_MNL)[0]
        with monkeypatch.context() as patch:
            patch.setattr(early_exit, "EXACT", 0)
            found = cheapest_order(voter, costs_M, probs_MNL)
        ratios.append(simulate(voter, found, costs_M, probs_MNL)[0] / best)
    assert max(ratios) <= 1.02
    voter, costs_M, probs_MNL = random_case(9, 0)
    found = cheapest_order(voter, costs_M, probs_MNL)
    assert sorted(found) == list(range(9))
    cost = simulate(voter, found, costs_M, probs_MNL)[0]
    for first, second in itertools.combinations(range(9), 2):
        other = list(found)
        other[first], other[second] = found[second], found[first]
        assert simulate(voter, other, costs_M, probs_MNL)[0] >= cost


def test_costs_are_those_of_the_cheapest_and_answers_are_the_graphs(
    tiny_bundle: Bundle, tiny_dataset: Dataset
) -> None:
    chips_NHWC = np.array(tiny_dataset.chips_NHWC[:9])
    graphs = [tiny_bundle.graph_path(member, "float32") for member in tiny_bundle.manifest.members]
    costs_M, probs_MNL = measure(graphs, chips_NHWC)
    assert costs_M.min() == 1
    np.testing.assert_array_equal(costs_M % COST_STEP, 0)
    for path, probs_NL in zip(graphs, probs_MNL, strict=True):
        np.testing.assert_allclose(probs_NL, graph_answers(path, chips_NHWC)[0], rtol=0, atol=1e-5)


def test_a_graph_that_takes_longer_costs_more(
    tiny_bundle: Bundle, tiny_dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock that the second member stops every time it runs."""
    ticks = itertools.cycle([0.0, 0.1, 0.1, 0.27])
    monkeypatch.setattr(early_exit, "perf_counter", lambda: next(ticks))
    graphs = [tiny_bundle.graph_path(member, "float32") for member in tiny_bundle.manifest.members]
    assert measure(graphs, np.array(tiny_dataset.chips_NHWC[:4]))[0].tolist() == [1.0, 1.75]


def test_the_plan_says_what_it_saves(
    tiny_bundle: Bundle, tiny_dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    probs_MNL = answers("1100", "1011", "1100")
    monkeypatch.setattr(early_exit, "measure", lambda *_: (np.array([1.0, 1.0, 2.0]), probs_MNL))
    planned = plan_early_exit(equal_voter(3), [Path()] * 3, tiny_dataset.chips_NHWC[:4])
    assert planned.order == (0, 2, 1)
    assert planned.costs == (1, 1, 2)
    assert (planned.chips, planned.mean_members, planned.cost_share) == (4, 2.0, 0.75)
