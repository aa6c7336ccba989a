"""In which order the members of a vote are asked, when they stop once a chip's labels are settled.

What a member costs is measured, how often members agree too, and the order is searched by
simulating votes with the service's own code.

Shape suffixes: M members, N chips, H height, W width, C bands, L labels.
"""

import logging
from collections.abc import Sequence
from itertools import combinations, permutations
from pathlib import Path
from time import perf_counter

import numpy as np
import numpy.typing as npt

from service.contract.decision import Voter
from service.contract.early_exit import EarlyVoter
from service.contract.manifest import INPUT, PROBABILITIES, EarlyExit, Pixel
from service.contract.onnx_runtime import open_session
from training.run.progress import track

log = logging.getLogger(__name__)

CHIPS = 256  # to simulate on
COST_STEP = 0.25  # of the cheapest member's: finer differences are noise
EXACT = 6  # members whose orders are all tried, 720 of them

Probs = npt.NDArray[np.float32]


def plan_early_exit(voter: Voter, graphs: Sequence[Path], chips_NHWC: npt.NDArray[Pixel]) -> EarlyExit:
    """Measure the members and return the cheapest order, with what it saves on these chips.

    Args:
        voter: the whole vote.
        graphs: one per member.
        chips_NHWC: real chips, as the graphs take them.
    """
    costs_M, probs_MNL = measure(graphs, chips_NHWC)
    order = cheapest_order(voter, costs_M, probs_MNL)
    cost, mean_members = simulate(voter, order, costs_M, probs_MNL)
    planned = EarlyExit(
        order=order,
        costs=tuple(costs_M.tolist()),
        chips=len(chips_NHWC),
        mean_members=round(mean_members, 3),
        cost_share=round(cost / costs_M.sum(), 3),
    )
    log.info(
        "early exit: %.2f of %d members per chip, %.0f %% of their time, on %d training chips",
        planned.mean_members,
        len(order),
        100 * planned.cost_share,
        planned.chips,
    )
    return planned


def measure(graphs: Sequence[Path], chips_NHWC: npt.NDArray[Pixel]) -> tuple[npt.NDArray[np.float64], Probs]:
    """Run members in turn on one chip at a time, on one thread.

    Returns:
        Costs (M,), the time per chip in units of the cheapest member's, rounded to `COST_STEP`;
        probabilities (M,N,L).
    """
    sessions = [open_session(path, threads=1) for path in graphs]
    seconds_MN = np.empty((len(sessions), len(chips_NHWC)))
    answers: list[list[npt.NDArray[np.float32]]] = [[] for _ in sessions]
    for chip in track(range(len(chips_NHWC)), "time members", len(chips_NHWC)):
        for member, session in enumerate(sessions):
            began_s = perf_counter()
            found = session.run([PROBABILITIES], {INPUT: chips_NHWC[chip : chip + 1]})[0]
            seconds_MN[member, chip] = perf_counter() - began_s
            answers[member].append(found[0])
    # The least is what the work takes: whatever else the machine does only adds to it.
    fastest_M = seconds_MN.min(axis=1)
    costs_M = np.rint(fastest_M / fastest_M.min() / COST_STEP) * COST_STEP
    return costs_M, np.array(answers)


def cheapest_order(voter: Voter, costs_M: npt.NDArray[np.float64], probs_MNL: Probs) -> tuple[int, ...]:
    """Return the order with the lowest simulated cost: of all, or where no exchange of two helps.

    The first of equals, so that it depends on nothing but these numbers.
    """

    def cost(order: Sequence[int]) -> float:
        return simulate(voter, order, costs_M, probs_MNL)[0]

    if len(costs_M) <= EXACT:
        return min(permutations(range(len(costs_M))), key=cost)
    best = tuple(np.argsort(costs_M, kind="stable").tolist())
    lowest = cost(best)
    while True:
        swapped = min((_swapped(best, *pair) for pair in combinations(range(len(best)), 2)), key=cost)
        if not cost(swapped) < lowest:
            return best
        best, lowest = swapped, cost(swapped)


def simulate(
    voter: Voter, order: Sequence[int], costs_M: npt.NDArray[np.float64], probs_MNL: Probs
) -> tuple[float, float]:
    """Return what a chip costs on average in this order, and how many members run for it."""
    spent = 0.0

    def ask(member: int, rows: npt.NDArray[np.intp]) -> Probs:
        nonlocal spent
        spent += float(costs_M[member]) * len(rows)
        return np.asarray(probs_MNL[member, rows])

    chips = probs_MNL.shape[1]
    decision = EarlyVoter(voter, order).decide(chips, ask)
    return spent / chips, float(decision.members_B.mean())


def _swapped(order: Sequence[int], first: int, second: int) -> tuple[int, ...]:
    changed = list(order)
    changed[first], changed[second] = order[second], order[first]
    return tuple(changed)
