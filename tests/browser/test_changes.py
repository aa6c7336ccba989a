"""The page of `chipvote diff`, opened from the disk."""

from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser

from service.answers.layers import geoparquet
from service.offline.changes.differences import compare
from service.offline.changes.page import page
from service.offline.changes.reading import read
from tests.browser.test_access import serious
from tests.kit.layers import grid, parts_of


@pytest.fixture
def report(tmp_path: Path) -> Path:
    before = grid(4, lambda *_: ["water"])
    after = grid(4, lambda column, _: ["bare soil"] if column < 2 else ["water"])
    for name, rows in (("before", before), ("after", after)):
        geoparquet.write(parts_of(tmp_path, rows), tmp_path / f"{name}.parquet")
    changes = compare(read(tmp_path / "before.parquet"), read(tmp_path / "after.parquet"))
    (tmp_path / "changes.html").write_text(page(changes), encoding="utf-8")
    return tmp_path / "changes.html"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_read_it_without_a_network(
    browser: Browser, report: Path, scheme: Literal["light", "dark"]
) -> None:
    shown = browser.new_page(color_scheme=scheme, viewport={"width": 390, "height": 800})
    asked: list[str] = []
    shown.on("request", lambda request: asked.append(request.url))
    shown.goto(report.as_uri())
    assert asked == [report.as_uri()]
    assert serious(shown) == []
    assert shown.evaluate("document.documentElement.scrollWidth") == 390
    place = shown.locator("table a").first
    place.click()
    assert shown.locator("path:target").get_attribute("id") == (place.get_attribute("href") or "")[1:]
    shown.close()
