import math

import pytest

from service.engine.queue.rate import MEMORY_S, Rate


def test_before_the_first_answer_nobody_knows() -> None:
    assert Rate().chips_per_s == math.inf


def test_what_was_seen_elsewhere_counts_as_a_second_of_work() -> None:
    rate = Rate(10)
    assert rate.chips_per_s == 10
    rate.start(0)
    for index in range(1, 21):
        rate.count(0.05 * index)
    assert rate.chips_per_s == pytest.approx(15, rel=0.05)


def test_a_steady_rate_is_found_alone_and_in_batches_and_rest_does_not_count() -> None:
    alone, batches = Rate(), Rate()
    now_s = 0.0
    for _ in range(5):
        now_s += 1000  # at rest
        alone.start(now_s)
        batches.start(now_s)
        for index in range(1, 81):
            alone.count(now_s + 0.1 * index)
            if index % 8 == 0:
                for _ in range(8):
                    batches.count(now_s + 0.1 * index)
        now_s += 8
    assert alone.chips_per_s == pytest.approx(10, rel=0.01)
    assert batches.chips_per_s == pytest.approx(10, rel=0.06)


def test_what_is_long_ago_is_forgotten() -> None:
    rate = Rate()
    now_s = 0.0
    for step_s, work_s in ((0.01, 100), (0.5, 5 * MEMORY_S)):
        for _ in range(int(work_s / step_s)):
            now_s += step_s
            rate.count(now_s)
    assert rate.chips_per_s == pytest.approx(2, rel=0.5)
