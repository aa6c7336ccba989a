import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from service.contract.manifest import Precision
from service.engine.autotune import Plan, fastest, plans
from tests.kit.fakes import Chips

CHIPS_BHWC: Chips = np.zeros((1, 4, 4, 3), np.uint8)


def test_plans_are_the_precisions_and_both_ways_to_share_the_cores() -> None:
    assert plans(["int8", "float32"], 4) == [
        Plan("int8", 1, 4),
        Plan("int8", 4, 1),
        Plan("float32", 1, 4),
        Plan("float32", 4, 1),
    ]
    assert plans(["float32"], 1) == [Plan("float32", 1, 1)]


@pytest.mark.parametrize("quick", ["int8", "float32"])
@pytest.mark.parametrize("batches", [True, False])
def test_the_fastest_is_taken(quick: str, batches: bool) -> None:
    """With sessions that take as long as they are told, alone and in batches."""
    opened: list[tuple[str, int]] = []

    def open_session(precision: Precision, threads: int) -> Any:  # noqa: ANN401
        opened.append((precision, threads))

        def run(names: list[str], feeds: dict[str, Chips]) -> list[Any]:
            per_run_s = 0.004 if precision == quick else 0.012
            time.sleep(per_run_s if batches else per_run_s * len(feeds["chips"]))
            return [np.zeros((len(feeds["chips"]), 1), np.float32)]

        return SimpleNamespace(run=run)

    plan, chips_per_s = fastest(plans(["int8", "float32"], 2), open_session, CHIPS_BHWC)
    assert plan == Plan("int8" if quick == "int8" else "float32", *((2, 1) if batches else (1, 2)))
    assert max(chips_per_s, key=chips_per_s.__getitem__) == plan
    assert sorted(opened) == [("float32", 1), ("float32", 2), ("int8", 1), ("int8", 2)]


def test_one_plan_alone_needs_no_measuring() -> None:
    def open_session(precision: Precision, threads: int) -> Any:  # noqa: ANN401
        raise AssertionError

    assert fastest([Plan("int8", 1, 1)], open_session, CHIPS_BHWC)[0] == Plan("int8", 1, 1)
