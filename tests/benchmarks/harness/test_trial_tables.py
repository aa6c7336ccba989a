"""Figures become the cells that a reader is to see."""

from typing import Any

from benchmarks.harness.trial_tables import tables


def cells(**figures: Any) -> list[str]:  # noqa: ANN401
    """The one row's cells behind server and limits."""
    *_, row = tables([{"server": "ours", "limits": "default", **figures}]).split("\n")
    first, second, *rest = [cell.strip() for cell in row.strip("|").split("|")]
    assert (first, second) == ("ours", "default")
    return rest


LOAD = {
    "answers_per_s": 48.6,
    "p50_s": 1.25,
    "p99_s": 4.04,
    "retry_after_s": None,
    "came_again": 0,
    "let_in": 0,
    "health_p99_ms": 12.4,
    "health_checks": 200,
    "unhealthy": 50,
    "cpu_ms": 0.94,
    "growth_mb": 61.9,
}


def test_a_load_nobody_was_refused_in() -> None:
    found = cells(trial="closed", **LOAD, outcomes={"200": 700, "lost": 3, "gave up": 1234})
    assert found == ["49", "1.2, 4.0", "0", "3", "1,234", "–", "12; 25%", "0.9", "62"]


def test_refusals_and_what_they_said() -> None:
    outcomes = {"200": 1, "503": 1500, "504": 2}
    assert cells(trial="open", **LOAD, outcomes=outcomes)[2:6] == ["1,500 × 503, 2 × 504", "0", "0", "none"]
    told = LOAD | {"retry_after_s": 4.0, "came_again": 8, "let_in": 6}
    assert cells(trial="closed", **told, outcomes=outcomes)[5] == "4 s, 75% let in"


def test_slow_clients() -> None:
    ways = ("silent", "head, 1 B/s", "body, 1 B/s")
    figures: dict[str, Any] = {way: {"longest_s": 10.2, "ends": {"408": 10}} for way in ways}
    figures["body stalls"] = {"longest_s": 80.0, "ends": {"408": 9, "never cut": 1}}
    found = cells(trial="slow", **figures, beside_silent={"200": 2, "lost": 3})
    assert found == ["10", "10", "10", "never", "2 of 5"]


def test_ends() -> None:
    figures = {"before": {}, "exit_status": -15, "exit_s": 0.01, "left_behind": 6}
    outcomes = {"200": 50, "503": 30, "lost": 15, "gave up": 5}
    found = cells(trial="sigterm 100", **figures, outcomes=outcomes)
    assert found == ["50 of 100, 30 refused, 20 cut; -15 after 0.0 s, 6 processes left"]
    assert cells(trial="gone", left=58, computed_for_nobody=3) == ["3 of 58"]
    lone = {"alone_p99_s": 0.1, "served": 9, "beside_p50_s": 0.2, "beside_p99_s": 0.5}
    assert cells(trial="beside forms", **lone, unserved=0) == ["0.5; 5"]
    assert cells(trial="beside", **lone, unserved=2) == ["2 of 4 clients unserved"]
    assert cells(trial="gone", error="ended with status 1") == ["failed"]
