"""Shape suffixes: K bins or points of a curve."""

import re
import xml.etree.ElementTree as ElementTree
from collections import Counter

import numpy as np
import pytest
from markupsafe import Markup

from training.report.diagnostics import Margins, Reliability
from training.report.figures import (
    LabelCurves,
    precision_recall_panels,
    reliability_panels,
    training_curves,
    vote_margins,
)
from training.run.history import FitLog

RISING_K = np.linspace(0, 1, 11)
BINS = Reliability(np.array([0.05, 0.55]), np.array([0.0, 0.5]), np.array([90, 10]))
CURVES = LabelCurves((RISING_K, 1 - RISING_K / 2), (0.9, 0.55), [(RISING_K, 1 - RISING_K)], [(0.8, 0.3)])
MARGINS = Margins(np.array([-2, -1, 1, 2]), np.array([900, 40, 30, 70]), np.array([5, 10, 30, 2]))
LOG = FitLog(RISING_K * 10, 1 - RISING_K / 2, 1e-3 * (1 - RISING_K), RISING_K + 100, RISING_K * 0)


def every_figure() -> dict[str, Markup]:
    return {
        "reliability": reliability_panels({"a": BINS, "b": BINS}, "two panels"),
        "curves": precision_recall_panels({"a": CURVES, "b": CURVES}, "two panels"),
        "margins": vote_margins(MARGINS, "bars"),
        "training": training_curves({"one": {0: LOG, 1: LOG}, "two": {0: LOG}}, "lines"),
    }


def texts(svg: str) -> list[str]:
    return [
        "".join(element.itertext()).strip()
        for element in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")
    ]


def test_every_figure_is_well_formed_and_has_the_pages_colours_only() -> None:
    page = every_figure()
    for name, svg in page.items():
        assert svg.startswith('<svg role="img" aria-label="'), name
        assert set(re.findall(r"#[0-9a-f]{6}\b", svg)) == set(), name
        assert "var(--ink)" in svg
        assert "<image" not in svg
        assert "font-size" in svg or "font:" in svg  # text, not outlines
    identifiers = Counter(re.findall(r'\bid="([^"]+)"', "".join(page.values())))
    assert max(identifiers.values()) == 1  # of the whole page


def test_references_lead_to_elements_of_the_same_figure() -> None:
    for svg in every_figure().values():
        known = set(re.findall(r'\bid="([^"]+)"', svg))
        assert set(re.findall(r'(?:url\(#|href="#)([^")]+)', svg)) <= known


def test_labels_cannot_break_out_of_a_figure() -> None:
    svg = reliability_panels({"<script>&$x_1$": BINS}, 'an "odd" <name>')
    assert "<script>" not in svg
    assert "<script>&$x_1$  0.050" in texts(svg)
    assert ElementTree.fromstring(svg).get("aria-label") == 'an "odd" <name>'


def test_panels_name_their_labels_and_axes() -> None:
    page = every_figure()
    assert {"a  0.050", "mean probability", "share with the label"} <= set(texts(page["reliability"]))
    assert {"a", "b", "recall", "precision"} <= set(texts(page["curves"]))
    assert {"one", "two", "training loss", "learning rate", "epoch"} <= set(texts(page["training"]))


def test_margins_show_every_count_and_the_share_of_errors() -> None:
    shown = texts(every_figure()["margins"])
    assert {"900", "5", "40", "10", "30", "70", "2"} <= set(shown)
    assert {"1 vote", "2 votes", "50.0% wrong", "0.6% wrong", "label set", "label not set"} <= set(shown)


@pytest.mark.parametrize("count", [1, 7, 17])
def test_any_number_of_labels_finds_its_place(count: int) -> None:
    svg = precision_recall_panels({f"label{index}": CURVES for index in range(count)}, "panels")
    assert {f"label{index}" for index in range(count)} <= set(texts(svg))


def test_thresholds_and_members_are_drawn_when_given() -> None:
    bare = LabelCurves(CURVES.mean, CURVES.decision)
    drawn = [str(precision_recall_panels({"a": curves}, "one")) for curves in (CURVES, bare)]
    assert drawn[0].count("<path") > drawn[1].count("<path")
    assert drawn[0].count("<use") == drawn[1].count("<use") + 1  # the threshold's dot


def test_the_same_numbers_give_the_same_bytes() -> None:
    assert every_figure() == every_figure()
