"""Shape suffixes: N chips, L labels."""

import json
import os
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from service.contract.manifest import Interval
from tests.kit import stripes
from training.data.dataset import open_dataset
from training.data.out_of_fold import read_predictions, write_predictions
from training.decision.rule import cross_fitted
from training.decision.tune import tune
from training.evaluation.evaluate import evaluate, read_decisions, read_scores, write_scores
from training.evaluation.metrics import measure
from training.report.report import report
from training.run.folder import Run

VOID = {"meta", "img", "br", "link", "input", "hr"}
LOG_HEAD = "epoch,loss,learning_rate,images_per_s,data_share\n"


class Page(HTMLParser):
    """Reads a page: elements by name with their attributes, headings, and the text of it all."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def run(evaluated: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A copy of the shared run without the logs of its fits."""
    run = stripes.copy_of(evaluated, tmp_path_factory.mktemp("report") / "run")
    for path in run.folder.glob("fits/*/*.csv"):
        path.unlink()
    return run


def written(interval: Interval | None) -> str:
    assert interval
    return "{:.3f} to {:.3f}".format(*interval)


@pytest.fixture(scope="module")
def page(run: Run) -> Page:
    return Page(report(run).read_text(encoding="utf-8"))


def test_the_headline_is_the_cross_fitted_score_with_its_interval(run: Run, page: Page) -> None:
    scores = read_scores(run)["cross-fitted"]
    for value, interval in (
        (scores.sample_f2, scores.sample_f2_interval),
        (scores.macro_f2, scores.macro_f2_interval),
        (scores.mean_average_precision, scores.mean_average_precision_interval),
    ):
        assert f"{value:.3f} {written(interval)}" in page.text
    worst = min(scores.labels, key=lambda row: row.f2)
    assert f"worst label: {worst.label} {worst.f2:.3f} {written(worst.f2_interval)}" in page.text
    for row in scores.labels:
        cells = f"{row.label} common {row.positives} {row.precision:.3f} {row.recall:.3f} {row.f2:.3f}"
        average_precision = f"{row.average_precision:.3f} {written(row.average_precision_interval)}"
        assert f"{cells} {written(row.f2_interval)} {average_precision}" in page.text
    for group, value in scores.group_f2.items():
        assert f"{group} {value:.3f} {written(scores.group_f2_intervals[group])}" in page.text


def test_scores_without_intervals_are_shown_without(run: Run, tmp_path: Path) -> None:
    older = stripes.copy_of(run, tmp_path / "run")
    plain = measure(
        *read_decisions(older),
        open_dataset(older).targets_NL,
        stripes.LABELS,
        ["common"] * 4,
        fitting="cross-fitted",
    )
    write_scores(older, {"cross-fitted": plain, "in-sample": plain})
    page = Page(report(older).read_text(encoding="utf-8"))
    assert f"{plain.sample_f2:.3f}" in page.text
    assert not [attributes for _, attributes in page.elements if attributes.get("class") == "bar"]


def test_the_page_needs_nothing_but_itself(run: Run, page: Page) -> None:
    addresses = [
        value
        for _, attributes in page.elements
        for name, value in attributes.items()
        if name in ("src", "href", "xlink:href", "action", "srcset") and value
    ]
    assert addresses
    assert all(address.startswith(("#", "data:image/jpeg;base64,")) for address in addresses)
    assert not page.all("script")
    html = (run.folder / "report.html").read_text(encoding="utf-8")
    assert "@import" not in html
    assert not re.search(r"url\((?!#)", html)


def test_the_page_can_be_read_aloud(page: Page) -> None:
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("h1")) == 1
    assert all(image["alt"] for image in page.all("img"))
    assert all(svg.get("aria-label") for svg in page.all("svg"))
    assert all(cell.get("scope") in ("row", "col") for cell in page.all("th"))
    assert len(page.all("caption")) == len(page.all("table"))
    identifiers = Counter(attributes["id"] for _, attributes in page.elements if "id" in attributes)
    assert max(identifiers.values()) == 1
    links = {str(link["href"]).removeprefix("#") for link in page.all("a")}
    assert links <= identifiers.keys()


def test_chips_carry_what_was_right_missed_and_false(run: Run, page: Page) -> None:
    found = read_predictions(run)
    predicted_NL = cross_fitted(found, run.config).labels_BL
    wrong = (predicted_NL != found.targets_NL).any(axis=1)
    assert f"{wrong.sum()} of {stripes.CHIPS} chips have at least one wrong label" in page.text
    alts = [str(image["alt"]).removeprefix("Chip ") for image in page.all("img")]
    names = open_dataset(run).names
    worst = [names.index(name) for name in alts[: min(28, int(wrong.sum()))]]
    assert wrong[worst].all()
    shown = page.text.split("Worst errors")[-1].split("Contact sheet")[0]
    kinds = {
        " (missed)": (~predicted_NL & found.targets_NL)[worst].sum(),
        " (false)": (predicted_NL & ~found.targets_NL)[worst].sum(),
        " (correct)": (predicted_NL & found.targets_NL)[worst].sum(),
    }
    assert {kind: shown.count(kind) for kind in kinds} == kinds


def test_training_curves_are_there_when_logs_are(run: Run, page: Page, tmp_path: Path) -> None:
    assert "kept no logs of its fits" in page.text
    logged = stripes.copy_of(run, tmp_path / "run")
    for fold in range(2):
        path = logged.folder / "fits" / stripes.WHOLE.name / f"fold{fold}.csv"
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(LOG_HEAD + "0,0.5,0.1,100,0.2\n1,0.3,0.1,120,0.1\n2,0.25,0.01,140,0.1\n")
    drawn = Page(report(logged).read_text(encoding="utf-8"))
    assert f"{stripes.WHOLE.name} 2 3 0.2500 120 10 %" in drawn.text.replace("\xa0", " ")
    assert len(drawn.all("svg")) == len(page.all("svg")) + 1
    path.write_text("epoch,loss\n0,0.5\n")
    with pytest.raises(ValueError, match="has no data_share, images_per_s, learning_rate"):
        report(logged)


def test_a_rule_beyond_votes_leaves_the_margins_out(run: Run, page: Page, tmp_path: Path) -> None:
    assert "networks set a label" in page.text
    blended = stripes.copy_of(run, tmp_path / "run")
    decision = replace(blended.config.decision, rule="blend")
    blended = replace(blended, config=replace(blended.config, decision=decision))
    tune(blended)
    evaluate(blended)
    other = Page(report(blended).read_text(encoding="utf-8"))
    assert "rule is more than a count of votes" in other.text
    assert len(other.all("svg")) == len(page.all("svg")) - 1


def test_a_label_that_no_chip_has_is_a_dash(run: Run, tmp_path: Path) -> None:
    changed = stripes.copy_of(run, tmp_path / "run")
    found = read_predictions(changed)
    column = stripes.LABELS.index("dark")
    targets_NL = found.targets_NL.copy()
    targets_NL[:, column] = False
    write_predictions(changed, replace(found, targets_NL=targets_NL))
    rows = (changed.folder / "chips.csv").read_text().replace(" dark", "").replace("dark", "")
    (changed.folder / "chips.csv").write_text(rows)
    tune(changed)
    evaluate(changed)
    text = Page(report(changed).read_text(encoding="utf-8")).text
    assert re.search(r"dark rare 0 0\.000 0\.000 0\.000 –", text)
    assert "nan" not in text


def test_scores_older_than_the_thresholds_are_refused(run: Run, tmp_path: Path) -> None:
    stale = stripes.copy_of(run, tmp_path / "run")
    later = (stale.folder / "evaluation.json").stat().st_mtime + 60
    os.utime(stale.folder / "decision.json", (later, later))
    with pytest.raises(ValueError, match=r"older than the thresholds; run `chipvote-train evaluate` again"):
        report(stale)
    (stale.folder / "evaluation.json").unlink()
    with pytest.raises(ValueError, match="run `chipvote-train evaluate` on this folder first"):
        report(stale)


def test_names_cannot_break_out_of_the_page(run: Run, tmp_path: Path) -> None:
    odd = stripes.copy_of(run, tmp_path / "run")
    for name in ("chips.csv", "dataset.json"):
        text = (odd.folder / name).read_text()
        (odd.folder / name).write_text(text.replace("chip_", "<b>chip_").replace("dark", "<i>dark"))
    scores = odd.folder / "evaluation.json"
    scores.write_text(scores.read_text().replace("dark", "<i>dark"))
    opened = Page(report(odd).read_text(encoding="utf-8"))
    assert "<i>dark" in opened.text
    assert not any("chip" in str(attributes) for attributes in opened.all("i"))
    assert np.all([str(image["alt"]).startswith("Chip <b>chip_") for image in opened.all("img")])


def test_the_page_for_the_bundle_shows_no_chip(run: Run) -> None:
    path = report(run)
    shipped = Page(path.with_name("report-without-chips.html").read_text(encoding="utf-8"))
    assert not shipped.all("img")
    assert len(shipped.all("svg")) == len(Page(path.read_text(encoding="utf-8")).all("svg"))
    assert "Contact sheet" not in shipped.text


def test_how_much_shows_nothing_is_said_where_it_is_known(run: Run, page: Page, tmp_path: Path) -> None:
    assert "show nothing" not in page.text
    blank = stripes.copy_of(run, tmp_path / "run")
    path = blank.folder / "dataset.json"
    facts = json.loads(path.read_text(encoding="utf-8")) | {"nodata": {"share": 0.125, "mostly": 3}}
    path.write_text(json.dumps(facts), encoding="utf-8")
    told = Page(report(blank).read_text(encoding="utf-8")).text
    assert f"12.50% of the pixels show nothing (nodata); of 3 of {stripes.CHIPS} chips, more" in told
