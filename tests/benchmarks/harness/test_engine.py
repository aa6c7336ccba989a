"""How fast the engine takes batches."""

import pytest

from benchmarks.harness.engine import Batches, pace, parse_batches


def test_batches_are_read_from_metrics() -> None:
    lines = ('bucket{le="1.0"} 2.0', "count 4.0", "sum 10.0")
    text = "".join(f"chipvote_batch_chips_{line}\n" for line in lines)
    assert parse_batches(text) == Batches(4, 10)
    assert parse_batches(text).mean == 2.5
    with pytest.raises(RuntimeError, match="chipvote_batch_chips"):
        parse_batches("process_cpu_seconds_total 1\n")


def test_the_pace_is_that_between_two_batches() -> None:
    # Batches of 8 are taken every two seconds, at 1, 3 and 5: four chips a second at any poll.
    seen = [(when_s, Batches(1 + (when_s + 1) // 2, 8 * ((when_s + 1) // 2))) for when_s in range(6)]
    assert pace(seen) == (4, 8)
    with pytest.raises(RuntimeError, match="--seconds"):
        pace(seen[:3])
