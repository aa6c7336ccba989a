"""Scenes on the page: what becomes of each, told in their list."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from playwright.sync_api import Page, expect

from tests.browser.mapping import UTM_60S, give, lines, rectangle, told, write_scene
from tests.kit.fakes import RED, encoded, picture


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return write_scene(tmp_path / "scene.tif")


def test_a_scene_is_gone_to_by_its_name_and_many_leave_room_for_the_map(
    show: Callable[..., Page], client: httpx2.Client, scene: Path, tmp_path: Path
) -> None:
    page = show(service=client)
    far = write_scene(tmp_path / "far.tif", crs=UTM_60S, columns=2, rows=2)
    give(page, *[scene, far] * 5, ended="3 windows labelled")
    for name in ("far.tif", "scene.tif"):
        page.get_by_role("button", name=name, exact=True).first.click()
        left, top, width, height = rectangle(page)
        page.mouse.move(left + width / 2 + 9, top + height / 2 - 9)
        expect(page.locator("#map-here")).to_have_text(re.compile(rf"^{name}, column \d+, row \d+: 0\.\d\d$"))
    assert rectangle(page)[1] < 400


def test_an_answer_that_ends_early_is_told_and_what_came_stays(
    show: Callable[..., Page], client: httpx2.Client, scene: Path
) -> None:
    page = show(service=client)
    first, window = told(client, 3)
    problem = {"type": "about:blank", "title": "Not ready", "status": 503, "detail": "it stops"}
    for ending, words in (
        ([window, {"error": problem}], "Not ready. it stops"),
        ([window, window], "The answer broke off. 2 of 3 windows came; drop the scene again for the rest."),
    ):
        page.route("**/predict/scene*", lines(first, *ending))
        give(page, scene, ended=words)
        expect(page.locator("#map-summary")).to_contain_text("window")
        page.get_by_role("button", name="Remove scene.tif").click()
        expect(page.locator("#map")).to_contain_text("Drop a GeoTIFF here")
        page.unroute("**/predict/scene*")


def test_a_scene_that_is_refused_says_why(
    show: Callable[..., Page], client: httpx2.Client, scene: Path, tmp_path: Path
) -> None:
    cut = tmp_path / "cut.tif"
    cut.write_bytes(scene.read_bytes()[:300])
    page = show(service=client, tolerate="4")
    give(page, cut, ended="Not a GeoTIFF")
    expect(page.locator("#scenes .alert")).to_contain_text("give a whole one")


def test_a_scene_is_cancelled_and_what_came_stays(
    show: Callable[..., Page], client: httpx2.Client, tmp_path: Path
) -> None:
    page = show(service=client)
    page.set_input_files("#files", write_scene(tmp_path / "large.tif", columns=60, rows=60))
    expect(page.locator("#scenes")).to_contain_text(re.compile("[1-9][0-9]* of 3,600"))
    page.get_by_role("button", name="Cancel large.tif").click()
    expect(page.locator("#scenes")).to_contain_text("cancelled: ")
    expect(page.locator("#scenes progress")).to_be_hidden()
    expect(page.locator("#map-summary")).to_contain_text("window")


def test_only_large_tiffs_are_scenes(page: Page, tmp_path: Path) -> None:
    import tifffile

    pixels_HWC = np.zeros((40, 90, 3), np.uint8)
    found = {}
    kinds: dict[str, dict[str, Any]] = {
        "little.tif": {"byteorder": "<"},
        "big-endian.tif": {"byteorder": ">"},
        "big.tif": {"bigtiff": True},
        "placed.tif": {"extratags": [(33550, "d", 3, (1.0, 1.0, 0.0), True)]},
    }
    for name, options in kinds.items():
        tifffile.imwrite(tmp_path / name, pixels_HWC, photometric="rgb", **options)
        found[name] = size_of(page, (tmp_path / name).read_bytes())
    size = {"width": 90, "height": 40, "placed": False}
    assert found == dict.fromkeys(found, size) | {"placed.tif": size | {"placed": True}}
    assert size_of(page, encoded(picture(RED), "PNG")) is None
    assert size_of(page, (tmp_path / "little.tif").read_bytes()[:30]) is None


def size_of(page: Page, data: bytes) -> object:
    return page.evaluate(
        """async (bytes) => (await import("/web/tiff.js")).sizeOf(new Blob([new Uint8Array(bytes)]))""",
        list(data[:100_000]),
    )
