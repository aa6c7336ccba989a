import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from service.answers.layers.rows import Row
from service.offline.changes import page as pages
from service.offline.changes.differences import compare
from service.offline.changes.page import label_rows, page
from service.offline.changes.reading import read
from tests.kit.layers import NOWHERE, verdict
from tests.service.offline.changes.conftest import SIDE, Make


class _Outline(HTMLParser):
    """The tags that are open, and those that there are."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_labels_are_counted(files: tuple[Path, Path]) -> None:
    rows = {row.label: row for row in label_rows(compare(*map(read, files)))}
    assert rows["water"][1:-1] == (SIDE, 2 * SIDE, SIDE, 1, 0, 0)
    assert rows["bare soil"][1:-1] == (30, 24, 0, 0, SIDE, 0)
    assert rows["water"].mean_change == pytest.approx(0.8 * SIDE / 36, abs=1e-6)


def test_the_page_is_whole_and_needs_nothing_else(files: tuple[Path, Path]) -> None:
    text = page(compare(*map(read, files)))
    outline = _Outline(text)
    assert outline.open == []
    assert not re.search(r"https?:|url\(|@import|<script|<link|<img", text)
    targets = {attrs["id"] for _, attrs in outline.tags if "id" in attrs}
    links = {(attrs["href"] or "")[1:] for tag, attrs in outline.tags if tag == "a"}
    assert len(links) == SIDE and links <= targets
    assert "+water 0.10 → 0.90, disputed" in text


def test_names_cannot_become_markup(layer: Make) -> None:
    before, after = (
        layer([Row(NOWHERE._replace(scene="<b>.png"), verdict(*labels))]) for labels in ([], ["water"])
    )
    text = page(compare(before._replace(name="<i>"), after))
    assert "<b>" not in text and "<i>" not in text
    assert "&lt;b&gt;.png" in text
    assert "<svg" not in text  # chips have no places


def test_a_long_list_says_that_it_ends(files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "MOST_LISTED", 2)
    text = page(compare(*map(read, files)))
    assert f"These are 2 of {SIDE}; a layer holds all." in text
    assert text.count('<th scope="row"><a') == 2
