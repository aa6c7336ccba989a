"""What does more cost? Members, chips in a batch, chips in a request, and connections.

    python -m benchmarks.serving.scaling [FOLDER[:PRECISION]] [--rounds R] [--seconds S] [--full]

Members and batches are measured on the ensemble alone, requests and connections through the service
over HTTP. Every question is asked R times, in turns; the figure shows medians and, dashed, what a
cost without overhead would be. Writes `docs/scaling.svg` and `benchmarks/results/scaling.json`.
About five minutes on two slow cores; `--full` takes more points and twice the rounds.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from benchmarks.harness.bundles import SHIPPED, described, opened, repeated
from benchmarks.harness.chips import forms, labelled, photo, taking_forms
from benchmarks.harness.comparison import Runs, machine, write
from benchmarks.harness.contenders import PYTHON, ours
from benchmarks.harness.engine import steady
from benchmarks.harness.load import require_wrk
from benchmarks.harness.servers import ROOT, Chip, Running, running, stop_cleanly
from service.contract.bundle import Bundle
from service.contract.manifest import Precision
from service.engine.ensemble import Ensemble

FIGURE = ROOT / "docs" / "scaling.svg"
CHIPS = 8  # of a batch while members are varied, and of the files that are sent


class Question(NamedTuple):
    """One panel."""

    name: str
    across: str  # what is varied
    up: str  # what is measured, with its unit
    ideal: str  # what the dashed line says
    quick: tuple[int, ...]
    full: tuple[int, ...]


MEMBERS = Question(
    "members", "members", "ms per chip", "sum of the members alone",
    (1, 3, 6, 9, 15), (1, 2, 3, 4, 5, 6, 9, 12, 15),
)  # fmt: skip
BATCH = Question(
    "batch", "chips in a batch", "ms per batch", "as many times one chip",
    (1, 2, 4, 8, 16, 32, 64), (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64),
)  # fmt: skip
REQUEST = Question(
    "request", "chips in a request", "ms per request", "as many times one chip",
    (1, 4, 16, 64, 256), (1, 2, 4, 8, 16, 32, 64, 128, 256),
)  # fmt: skip
CONNECTIONS = Question(
    "connections", "connections", "chips per second", "the ensemble's best batch",
    (1, 2, 8, 64), (1, 2, 4, 8, 16, 32, 64),
)  # fmt: skip
QUESTIONS = (MEMBERS, BATCH, REQUEST, CONNECTIONS)


def milliseconds(work: Callable[[], object]) -> float:
    """Time one call."""
    began_s = perf_counter()
    work()
    return 1000 * (perf_counter() - began_s)


def members(bundle: Bundle, precision: Precision, sizes: Sequence[int], rounds: int, folder: Path) -> Runs:
    """Measure ensembles of so many members, and every member alone; one is in memory at a time."""
    count = len(bundle.manifest.members)
    chips_BHWC = np.resize(bundle.golden.chips_GHWC, (CHIPS, *bundle.golden.chips_GHWC.shape[1:]))
    runs: Runs = []
    lists = {f"alone-{member}": [member] for member in range(count)}
    lists |= {str(size): [index % count for index in range(size)] for size in sizes}
    for name, chosen in lists.items():
        ensemble = Ensemble(repeated(bundle, chosen, precision, folder / name), "cpu", precision)
        ensemble.vote(chips_BHWC)
        for _ in range(rounds):
            taken_ms = milliseconds(lambda: ensemble.vote(chips_BHWC)) / CHIPS  # noqa: B023
            size = None if len(chosen) == 1 and "alone" in name else len(chosen)
            runs.append(answer(MEMBERS, size, taken_ms) | ({"member": chosen[0]} if size is None else {}))
    return runs


def batch_sizes(bundle: Bundle, precision: Precision, sizes: Sequence[int], rounds: int) -> Runs:
    """Measure the ensemble on batches."""
    ensemble = Ensemble(bundle, "cpu", precision)
    chips_GHWC = bundle.golden.chips_GHWC
    runs: Runs = []
    for _ in range(rounds):
        for size in sizes:
            chips_BHWC = np.resize(chips_GHWC, (size, *chips_GHWC.shape[1:]))
            runs.append(answer(BATCH, size, milliseconds(lambda: ensemble.vote(chips_BHWC))))  # noqa: B023
    return runs


def requests(started: Running, bodies: dict[int, Chip], rounds: int) -> Runs:
    """Measure requests of several chips, one at a time; every answer is checked."""
    asked = started.asked_as(taking_forms(started.server))
    runs: Runs = []
    for _ in range(rounds):
        for size, body in bodies.items():
            runs.append(answer(REQUEST, size, milliseconds(lambda: asked.check([body]))))  # noqa: B023
    return runs


def connections(
    started: Running, chips: Sequence[Chip], sizes: Sequence[int], rounds: int, seconds: float
) -> Runs:
    """Measure how many chips are answered over connections that each wait for their answers."""
    runs: Runs = []
    for _ in range(rounds):
        for size in sizes:
            found = steady(started, chips, size, seconds)
            runs.append(answer(CONNECTIONS, size, found["chips_per_s"]))
    return runs


def answer(question: Question, size: int | None, value: float) -> dict[str, Any]:
    """Describe one measurement."""
    row = {"question": question.name, "size": size, "unit": question.up, "value": round(value, 3)}
    print(row, file=sys.stderr, flush=True)
    return row


def points(runs: Runs, question: Question) -> dict[int, float]:
    """Return the median of every size."""
    groups: dict[int, list[float]] = {}
    for run in runs:
        if run["question"] == question.name and run["size"] is not None:
            groups.setdefault(run["size"], []).append(run["value"])
    return {size: median(values) for size, values in sorted(groups.items())}


def ideal(runs: Runs, question: Question) -> dict[int, float]:
    """Return what every size would give if nothing were lost."""
    found = points(runs, question)
    if question is CONNECTIONS:
        batches = points(runs, BATCH)
        return dict.fromkeys(found, max(1000 * size / taken_ms for size, taken_ms in batches.items()))
    if question is MEMBERS:
        alone: dict[int, list[float]] = {}
        for run in runs:
            if "member" in run:
                alone.setdefault(run["member"], []).append(run["value"])
        each = [median(alone[member]) for member in sorted(alone)]
        return {size: sum(each[index % len(each)] for index in range(size)) for size in found}
    return {size: size * found[1] for size in found}


def draw(runs: Runs, title: str) -> None:
    """Write one figure of four panels."""
    mpl.rcParams["svg.hashsalt"] = "scaling"  # the same figures give the same file
    figure = Figure(figsize=(9, 7), layout="constrained")
    figure.suptitle(title)
    for axes, question in zip(figure.subplots(2, 2).flat, QUESTIONS, strict=True):
        for found, style, label in (
            (ideal(runs, question), "k--", question.ideal),
            (points(runs, question), "o-", "measured"),
        ):
            axes.plot(list(found), list(found.values()), style, label=label, linewidth=1.2, markersize=4)
        axes.set(xlabel=question.across, ylabel=question.up)
        if question is not MEMBERS:
            axes.set_xscale("log", base=2)
            axes.set_xticks(list(points(runs, question)), labels=map(str, points(runs, question)))
        if question in (BATCH, REQUEST):
            axes.set_yscale("log", base=10)
        else:
            axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    figure.savefig(FIGURE, metadata={"Date": None})


def print_table(runs: Runs) -> None:
    """Print every point and its ratio to the ideal."""
    for question in QUESTIONS:
        line, dashed = points(runs, question), ideal(runs, question)
        cells = ", ".join(f"{size}: {value:.1f} ({value / dashed[size]:.2f})" for size, value in line.items())
        print(f"{question.across}, {question.up} (÷ {question.ideal}): {cells}")


def main() -> None:
    """Print and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("bundle", nargs="?", default=SHIPPED, metavar="FOLDER[:PRECISION]")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=12, help="length of one load")
    parser.add_argument("--full", action="store_true")
    arguments = parser.parse_args()
    require_wrk()
    stop_cleanly()
    bundle, precision = opened(arguments.bundle)
    rounds = arguments.rounds * (2 if arguments.full else 1)
    sizes = {question: question.full if arguments.full else question.quick for question in QUESTIONS}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        runs = members(bundle, precision, sizes[MEMBERS], rounds, folder)
        runs += batch_sizes(bundle, precision, sizes[BATCH], rounds)
        chips = labelled(bundle, precision, [photo(seed) for seed in range(CHIPS)], folder)
        bodies = {size: forms(chips, size, folder)[0] for size in sizes[REQUEST]}
        with running(ours(bundle.folder, precision, {}), chips) as started:
            runs += requests(started, bodies, rounds)
            runs += connections(started, chips, sizes[CONNECTIONS], rounds, arguments.seconds)
    write("scaling", {"machine": machine(PYTHON), **described(bundle, precision)}, runs)
    draw(runs, f"{bundle.manifest.name}, {precision}: what more costs")
    print_table(runs)


if __name__ == "__main__":
    main()
