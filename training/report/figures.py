"""The report's figures: numbers → SVG that lives inside the page and takes its colours.

matplotlib draws in stand-in colours; the page's own colours replace them, so that one figure
reads well on white, on black and on paper. Text stays text: it can be searched and read aloud.

Shape suffixes: L labels, K bins or points of a curve.
"""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from training.report.diagnostics import Margins, Reliability
from training.run.history import FitLog

Curve = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]
Point = tuple[float, float]

# Stand-ins and the page's variables; nothing else may have these colours.
INK, MUTED, BLUE, GREEN, RED = "#101011", "#808081", "#2060a1", "#208041", "#b03031"
_VARIABLES = {INK: "--ink", MUTED: "--muted", BLUE: "--blue", GREEN: "--green", RED: "--red"}
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "chipvote",  # the same numbers give the same bytes
    "text.parse_math": False,  # a label may hold a dollar sign
    "font.family": "sans-serif",
    "font.size": 8,
    "text.color": INK,
    "axes.titlecolor": INK,
    "axes.titlesize": 8.5,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
}
COLUMNS = 6
_UNIT = {"xlim": (-0.03, 1.03), "ylim": (-0.03, 1.05), "xticks": (0, 0.5, 1), "yticks": (0, 0.5, 1)}


@dataclass(frozen=True)
class LabelCurves:
    """One label's panel of `precision_recall`."""

    mean: Curve  # recall and precision by the mean probability
    decision: Point  # recall and precision of the label sets
    members: Sequence[Curve] = field(default=())
    thresholds: Sequence[Point] = field(default=())  # where each member's own threshold lies


def reliability_panels(panels: Mapping[str, Reliability], description: str) -> Markup:
    """Draw one panel per label: frequency over probability, the chips of each bin as grey bars."""
    with mpl.rc_context(_STYLE):
        figure, axes = _grid(list(panels), ("mean probability", "share with the label"))
        for ax, (label, found) in zip(axes, panels.items(), strict=False):
            ax.set(**_UNIT)
            ax.set_title(f"{label}  {found.expected_error:.3f}")
            ax.plot([0, 1], [0, 1], color=MUTED, linewidth=0.6)
            height_K = 0.3 * np.log10(found.count_K + 1) / np.log10(found.count_K.sum() + 1)
            centre_K = np.floor(found.probability_K * 10 - 1e-9).clip(0, 9) / 10 + 0.05
            ax.bar(centre_K, height_K, width=0.085, color=MUTED, alpha=0.35, bottom=-0.03)
            ax.plot(found.probability_K, found.frequency_K, color=BLUE, linewidth=0.9)
            size_K = 3 + 5 * np.log10(found.count_K)  # a bin of one chip says little
            ax.scatter(found.probability_K, found.frequency_K, s=size_K, color=BLUE, linewidths=0, zorder=3)
        return _svg(figure, "reliability", description)


def precision_recall_panels(panels: Mapping[str, LabelCurves], description: str) -> Markup:
    """Draw a panel per label: the mean's curve over members', thresholds and decision marked."""
    with mpl.rc_context(_STYLE):
        figure, axes = _grid(list(panels), ("recall", "precision"))
        for ax, (label, curves) in zip(axes, panels.items(), strict=False):
            ax.set(**_UNIT)
            ax.set_title(label)
            for recall_K, precision_K in curves.members:
                ax.plot(recall_K, precision_K, color=MUTED, linewidth=0.6)
            ax.plot(*curves.mean, color=BLUE, linewidth=1.3)
            for point in curves.thresholds:
                ax.plot(*point, "o", color=MUTED, markersize=3.2)
            ax.plot(*curves.decision, "D", color=RED, markersize=4.5)
        return _svg(figure, "precision-recall", description)


def vote_margins(margins: Margins, description: str) -> Markup:
    """Draw right and wrong decisions by how many votes would tip them."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(7.2, 2.9), layout="constrained")
        ax = figure.subplots()
        place_K = np.arange(len(margins.votes_K))
        total_K = margins.right_K + margins.wrong_K
        for shift, count_K, colour in ((-0.2, margins.right_K, GREEN), (0.2, margins.wrong_K, RED)):
            bars = ax.bar(place_K + shift, count_K, width=0.36, color=colour)
            ax.bar_label(bars, [f"{count:,}" for count in count_K], padding=2, color=INK)
        not_set = int((margins.votes_K < 0).sum())
        ax.axvline(not_set - 0.5, color=MUTED, linewidth=0.6, linestyle=(0, (4, 3)))
        middles = {"label not set": not_set / 2 - 0.5, "label set": (not_set + len(place_K)) / 2 - 0.5}
        for word, x in middles.items():
            ax.text(x, 1.03, word, transform=ax.get_xaxis_transform(), ha="center", color=INK)
        shares = margins.wrong_K / np.maximum(total_K, 1)
        ax.set_xticks(
            place_K,
            [
                f"{abs(votes)} vote{'s' if abs(votes) > 1 else ''}\n{share:.1%} wrong"
                for votes, share in zip(margins.votes_K, shares, strict=True)
            ],
        )
        ax.set(yscale="log", ylim=(0.8, 3 * max(total_K.max(), 2)), ylabel="decisions, log scale")
        ax.yaxis.set_major_formatter("{x:,.0f}")
        ax.set_xlabel("votes that would have to change to tip the decision")
        return _svg(figure, "margins", description)


def training_curves(logs: Mapping[str, Mapping[int, FitLog]], description: str) -> Markup:
    """Draw loss and learning rate of every member, one line per fold."""
    with mpl.rc_context(_STYLE):
        columns = len(logs)
        figure = Figure(figsize=(max(3.2, min(11.4, 3.8 * columns)), 3.6), layout="constrained")
        axes = figure.subplots(2, columns, sharex="col", sharey="row", squeeze=False, height_ratios=(2, 1))
        for column, (member, folds) in enumerate(logs.items()):
            upper, lower = axes[:, column]
            upper.set_title(member)
            for log in folds.values():
                upper.plot(log.epoch, log.loss, color=BLUE, linewidth=1, alpha=0.75)
                lower.plot(log.epoch, log.learning_rate, color=MUTED, linewidth=1)
            lower.set_xlabel("epoch")
            lower.xaxis.set_major_locator(MaxNLocator(integer=True))
            lower.yaxis.set_major_formatter("{x:g}")
        for ax, name in zip(axes[:, 0], ("training loss", "learning rate"), strict=True):
            ax.set_ylabel(name)
            ax.set_ylim(bottom=0)  # once all columns are drawn: it ends the scaling of their shared axis
        return _svg(figure, "training", description)


def histograms(panels: Mapping[str, Curve], description: str) -> Markup:
    """Draw how often each value occurs, one panel per band: lower edges of bins, and shares."""
    with mpl.rc_context(_STYLE):
        figure, axes = _grid(list(panels), ("value", "share of pixels"), alike=False)
        for ax, (name, (value_K, share_K)) in zip(axes, panels.items(), strict=False):
            ax.set_title(name)
            ax.fill_between(value_K, share_K, step="post", color=BLUE, alpha=0.7, linewidth=0)
            ax.yaxis.set_major_locator(MaxNLocator(3))
            ax.xaxis.set_major_locator(MaxNLocator(4))
        return _svg(figure, "histograms", description)


def _grid(
    titles: Sequence[str], axis_names: tuple[str, str], *, alike: bool = True
) -> tuple[Figure, list[Axes]]:
    """Lay out one small panel per title, all with the same axes unless told otherwise."""
    columns = min(COLUMNS, len(titles))
    rows = -(-len(titles) // columns)
    figure = Figure(figsize=(1.9 * columns, 1.75 * rows + 0.3), layout="constrained")
    axes = figure.subplots(rows, columns, sharex=alike, sharey=alike, squeeze=False)
    for ax in axes.flat[len(titles) :]:
        ax.set_visible(False)
    for column in range(columns):  # a column may end above the last row
        lowest = axes[(len(titles) - 1 - column) // columns, column]
        lowest.xaxis.set_tick_params(labelbottom=True)
    figure.supxlabel(axis_names[0], fontsize=8)
    figure.supylabel(axis_names[1], fontsize=8)
    return figure, list(axes.flat[: len(titles)])


def _svg(figure: Figure, name: str, description: str) -> Markup:
    """Return the figure as an element of the page, described for those who cannot see it."""
    stream = io.StringIO()
    figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = stream.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    # Several figures share one page: their identifiers must not meet.
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", svg)
    for stand_in, variable in _VARIABLES.items():
        svg = svg.replace(stand_in, f"var({variable})")
    opening = Markup('<svg role="img" aria-label="{}"').format(description)
    return Markup(svg.replace("<svg", opening, 1))
