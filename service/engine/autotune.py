"""How this machine's CPU runs a bundle fastest: measured at start, on the first member.

Which precision, and whether cores share each chip or take one each, depends on instructions,
caches and neighbours that no table knows. Takes about a second.

Shape suffixes: B chips, H height, W width, C bands.
"""

import time
from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from service.contract.manifest import Pixel, Precision
from service.engine.cpu import CpuRunner

CHIPS_PER_THREAD = 2
ROUNDS = 3
MARGIN = 1.1  # by which a less likely plan must win: below, it was the moment


class Plan(NamedTuple):
    """One way to run the members on the CPU."""

    precision: Precision
    threads: int  # that share the work of one run
    side_by_side: int  # chips that run at a time, each alone


def plans(precisions: Sequence[Precision], threads: int) -> list[Plan]:
    """List the ways worth trying, the likeliest first."""
    return [
        Plan(precision, *ways)
        for precision in precisions
        for ways in dict.fromkeys([(1, threads), (threads, 1)])
    ]


def fastest(
    candidates: Sequence[Plan],
    open_session: Callable[[Precision, int], ort.InferenceSession],
    chips_BHWC: npt.NDArray[Pixel],
) -> tuple[Plan, dict[Plan, float]]:
    """Return the plan with the most chips per second, and every plan's chips per second.

    Args:
        candidates: the likeliest first. Of several each is tried; one alone is taken unmeasured.
        open_session: opens the member at a precision with so many threads.
        chips_BHWC: at least one chip; repeated as needed.
    """
    if len(candidates) == 1:
        return candidates[0], {}
    opened = cache(open_session)
    size = CHIPS_PER_THREAD * max(plan.threads * plan.side_by_side for plan in candidates)
    batch_BHWC = np.ascontiguousarray(np.resize(chips_BHWC, (size, *chips_BHWC.shape[1:])))
    runners = {
        plan: CpuRunner([opened(plan.precision, plan.threads)], plan.side_by_side) for plan in candidates
    }
    best_s = dict.fromkeys(candidates, float("inf"))
    for _ in range(ROUNDS):  # alternately, so that a busy moment does not decide
        for plan, runner in runners.items():
            began_s = time.perf_counter()
            runner.load(batch_BHWC).run(0)
            best_s[plan] = min(best_s[plan], time.perf_counter() - began_s)
    for runner in runners.values():
        runner.close()
    best = candidates[0]
    for plan in candidates[1:]:
        if best_s[plan] * MARGIN < best_s[best]:
            best = plan
    return best, {plan: size / s for plan, s in best_s.items()}
