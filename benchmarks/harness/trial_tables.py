"""What servers went through (`trials`), as tables in Markdown: a row for each server and limits."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from benchmarks.harness.crowd import GAVE_UP, LOST, OK
from benchmarks.harness.trials import LONE, SLOW_WAYS, Figures

Columns = Mapping[str, tuple[str, Callable[[Figures], str]]]  # heading: the trial, and its words


def tables(runs: Sequence[Figures]) -> str:
    """Return the figures of all trials; each has its server, limits and trial."""
    found = {(run["server"], run["limits"], run["trial"]): run for run in runs}
    tried = {trial for _, _, trial in found}
    kinds = (_load("closed"), _load("open"), SLOW, ENDS)
    chosen = [{heading: told for heading, told in kind.items() if told[0] in tried} for kind in kinds]
    return "\n\n".join(_table(found, columns) for columns in chosen if columns)


def _table(found: Mapping[tuple[str, str, str], Figures], columns: Columns) -> str:
    lines = [("server", "limits", *columns), ("---",) * (2 + len(columns))]
    for row in dict.fromkeys((server, limits) for server, limits, _ in found):
        cells = [_cell(found.get((*row, trial)), words) for trial, words in columns.values()]
        if any(cells):
            lines.append((*row, *cells))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(run: Figures | None, words: Callable[[Figures], str]) -> str:
    if run is None:
        return ""
    return "failed" if "error" in run else words(run)


def _load(loop: str) -> Columns:
    return {
        "results/s": (loop, lambda run: f"{run['answers_per_s']:.0f}"),
        "p50, p99, s": (loop, lambda run: f"{_seconds(run['p50_s'])}, {_seconds(run['p99_s'])}"),
        "refused": (loop, _refused),
        "cut": (loop, lambda run: f"{run['outcomes'].get(LOST, 0):,}"),
        "gave up": (loop, lambda run: f"{run['outcomes'].get(GAVE_UP, 0):,}"),
        "Retry-After": (loop, _told),
        "health p99, ms; no 200": (loop, _health),
        "CPU ms": (loop, lambda run: f"{run['cpu_ms']:.1f}" if "cpu_ms" in run else ""),
        "+ MB": (loop, lambda run: f"{run['growth_mb']:.0f}"),
    }


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def _refusals(run: Figures) -> Figures:
    """Return how many answers had which status, but for results."""
    return {name: count for name, count in run["outcomes"].items() if name.isdecimal() and name != OK}


def _refused(run: Figures) -> str:
    return ", ".join(f"{count:,} × {name}" for name, count in _refusals(run).items()) or "0"


def _told(run: Figures) -> str:
    """Say what refused clients were told, and how many of those who obeyed were let in."""
    if run["retry_after_s"] is None:
        return "none" if _refusals(run) else "–"
    let_in = f", {run['let_in'] / run['came_again']:.0%} let in" if run["came_again"] else ""
    return f"{run['retry_after_s']:.0f} s{let_in}"


def _health(run: Figures) -> str:
    return f"{run['health_p99_ms']:.0f}; {run['unhealthy'] / run['health_checks']:.0%}"


def _until_cut(kind: str, run: Figures) -> str:
    """Say after how many seconds the last client of a kind was cut, if all were."""
    return "never" if "never cut" in run[kind]["ends"] else f"{run[kind]['longest_s']:.0f}"


def _beside_silent(run: Figures) -> str:
    outcomes = run["beside_silent"]
    return f"{outcomes.get(OK, 0)} of {sum(outcomes.values())}"


def _stopped(run: Figures) -> str:
    """Say what became of those who waited, and of the server."""
    results, waited = run["outcomes"].get(OK, 0), sum(run["outcomes"].values())
    errors = sum(_refusals(run).values())
    ends = {"refused": errors, "cut": waited - results - errors}
    fates = [f"{results} of {waited}", *(f"{count} {end}" for end, count in ends.items() if count)]
    ended = "no exit" if run["exit_s"] is None else f"{run['exit_status']} after {run['exit_s']:.1f} s"
    left = f", {run['left_behind']} processes left" if run["left_behind"] else ""
    return f"{', '.join(fates)}; {ended}{left}"


def _computed(run: Figures) -> str:
    return f"{run['computed_for_nobody']} of {run['left']}"


def _neighbourly(run: Figures) -> str:
    """Say how long a lone chip took, and in times of what it took alone."""
    if run["unserved"]:
        return f"{run['unserved']} of {LONE} clients unserved"
    return f"{run['beside_p99_s']:.1f}; {run['beside_p99_s'] / run['alone_p99_s']:.0f}"


SLOW: Columns = {
    **{kind: ("slow", partial(_until_cut, kind)) for kind in SLOW_WAYS},
    "results beside 400 silent": ("slow", _beside_silent),
    "endless heads: MB taken, + MB": (
        "header",
        lambda run: f"{run['header_taken_mb']:.0f}, {run['header_growth_mb']:.0f}",
    ),
}
ENDS: Columns = {
    "SIGTERM, 100 clients": ("sigterm 100", _stopped),
    "SIGTERM, 400 clients": ("sigterm 400", _stopped),
    "hung up: computed": ("gone", _computed),
    "lone chip beside 500: p99, s; × alone": ("beside", _neighbourly),
    "beside 4 requests of 125": ("beside forms", _neighbourly),
}
