"""The page's map: scenes and chips where they lie, what it shows of them, and what it saves."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import httpx2
import numpy as np
import pyogrio
import pytest
import rasterio
import rasterio.warp
from playwright.sync_api import FilePayload, Page, Route, expect

from service.contract.bundle import Bundle
from service.settings import Settings
from tests.browser.conftest import drop, upload
from tests.browser.mapping import (
    COLUMNS,
    CORNER,
    LAYER,
    PIXEL_M,
    ROWS,
    UTM_21S,
    UTM_60S,
    colour_at,
    give,
    on_screen,
    on_screen_of_dateline,
    rectangle,
    saved,
    write_scene,
)
from tests.browser.test_access import serious
from tests.kit.fakes import BLUE, RED, SIZE_PX, encoded, picture
from tests.kit.serving import serving


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return write_scene(tmp_path / "scene.tif")


def test_a_scene_becomes_a_grid_of_labels_and_a_layer(
    show: Callable[..., Page], client: httpx2.Client, scene: Path, tmp_path: Path
) -> None:
    page = show(service=client)
    give(page, scene, ended="11 windows labelled, 1 without data")
    expect(page.locator("#scenes li")).to_contain_text("pixels are taken as they are in the scene")
    expect(page.locator("#tab-map")).to_have_attribute("aria-selected", "true")
    expect(page.locator("#map-summary")).to_have_text("12 windows")
    counts = page.locator("#map-labels button").all_inner_texts()
    assert [text.split() for text in counts] == [["reddish", "8"], ["greenish", "3"]]
    page.get_by_role("button", name="greenish").click()
    expect(page.locator("#map-label")).to_have_value("greenish")
    place = on_screen(page, scene)
    middles = {column: place((column + 0.5) * SIZE_PX, SIZE_PX / 2) for column in range(COLUMNS)}
    green, red = (sum(colour_at(page, middles[column])) for column in (0, 1))
    assert red - green > 200  # on light ground, high is dark; the picture's own colours are as bright
    page.mouse.click(*middles[2])
    expect(page.locator("#name")).to_have_text(f"scene.tif, column {2 * SIZE_PX}, row 0")
    expect(page.locator("#tags")).to_have_text("reddish")
    page.get_by_role("button", name="greenish (not set").wait_for()

    layer = tmp_path / "layer.gpkg"
    layer.write_bytes(saved(page, "geopackage").read_bytes())
    frame = pyogrio.raw.read(layer, layer=LAYER)
    info = pyogrio.read_info(layer, layer=LAYER)
    assert (info["features"], info["crs"]) == (11, "EPSG:4326")
    columns = dict(zip(frame[0]["fields"], frame[3], strict=True))
    assert set(columns["scene"]) == {"scene.tif"}
    assert sorted(columns["column"].tolist()) == sorted([0, 64, 128] * 3 + [192] * 2)
    assert columns["greenish"].tolist() == [column == 0 for column in columns["column"]]
    with rasterio.open(scene) as file:
        west, south, east, north = rasterio.warp.transform_bounds(file.crs, "EPSG:4326", *file.bounds)
    np.testing.assert_allclose(info["total_bounds"], [west, south, east, north], atol=2e-6)
    features = json.loads(saved(page, "geojson").read_text())["features"]
    assert len(features) == 11
    assert features[0]["properties"]["window"] == {"column": 0, "row": 0, "width": SIZE_PX, "height": SIZE_PX}


def test_a_box_limits_what_map_and_gallery_show_until_it_is_taken_away(
    show: Callable[..., Page], client: httpx2.Client, scene: Path, tmp_path: Path
) -> None:
    page = show(service=client)
    give(page, scene, ended="11 windows labelled")
    inside = write_scene(tmp_path / "in.tif", columns=1, rows=1, corner=(CORNER[0] + 20, CORNER[1] - 20))
    outside = write_scene(tmp_path / "out.tif", columns=1, rows=1, corner=(CORNER[0] + 350, CORNER[1] - 150))
    nowhere = upload("nowhere.png", encoded(picture(BLUE), "PNG"))
    page.set_input_files("#map-files", [inside, outside])
    drop(page, nowhere)
    expect(page.locator("#map-summary")).to_have_text("12 windows, 2 chips, 1 chip without a place")
    place = on_screen(page, scene)
    page.get_by_role("button", name="Select an area").click()
    page.mouse.move(*place(-5, -5))
    page.mouse.down()
    page.mouse.move(*place(SIZE_PX, SIZE_PX))
    page.mouse.move(*place(2 * SIZE_PX - 5, ROWS * SIZE_PX + 5))
    page.mouse.up()
    expect(page.locator("#area")).to_contain_text("7 of 14 on the map are in the area")
    expect(page.get_by_role("button", name="Select an area")).to_have_attribute("aria-pressed", "false")
    assert len(json.loads(saved(page, "geojson").read_text())["features"]) == 7
    page.mouse.click(*place(3.5 * SIZE_PX, SIZE_PX / 2))
    expect(page.locator("#detail")).to_be_hidden()
    page.get_by_role("tab", name="Chips").click()
    assert page.locator(".card .name").all_inner_texts() == ["in.tif"]
    expect(page.locator("#count")).to_have_text("1 of 3 chips")
    page.get_by_role("button", name="Show all again").click()
    expect(page.locator("#area")).to_be_hidden()
    expect(page.locator(".card")).to_have_count(3)
    page.get_by_role("tab", name="Map").click()
    page.keyboard.down("Shift")
    page.mouse.move(*place(-5, -5))
    page.mouse.down()
    page.mouse.move(*place(SIZE_PX - 5, ROWS * SIZE_PX + 5))
    page.mouse.up()
    page.keyboard.up("Shift")
    expect(page.locator("#area")).to_contain_text("4 of 14")


def test_the_keyboard_moves_zooms_and_picks(
    show: Callable[..., Page], client: httpx2.Client, scene: Path
) -> None:
    page = show(service=client)
    give(page, scene, ended="11 windows labelled")
    canvas, name = page.locator("#canvas"), page.locator("#name")
    canvas.focus()
    expect(canvas).to_have_accessible_description(
        "12 windows Arrow keys move, + and − zoom, 0 shows everything, Enter picks what is in the middle, "
        "Page Down the next place, high values first."
    )
    page.select_option("#map-label", "greenish")
    canvas.focus()
    page.keyboard.press("PageDown")
    expect(name).to_contain_text("column 0, row")
    expect(page.locator("#tags")).to_have_text("greenish")
    page.keyboard.press("Escape")
    expect(page.locator("#detail")).to_be_hidden()
    for _ in range(4):
        page.keyboard.press("+")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(name).to_contain_text(f"column {2 * SIZE_PX}, row {SIZE_PX}")
    page.get_by_role("button", name="Only what is in view").click()
    expect(page.locator("#area")).to_be_visible()
    page.get_by_role("button", name="Show all again").press("Enter")
    expect(page.locator("#area")).to_be_hidden()
    canvas.focus()
    page.keyboard.press("0")
    page.mouse.click(*on_screen(page, scene)(SIZE_PX / 2, SIZE_PX / 2))
    expect(name).to_have_text("scene.tif, column 0, row 0")


def test_wheel_drag_and_fingers_move_the_map(
    show: Callable[..., Page], client: httpx2.Client, scene: Path
) -> None:
    page = show(service=client, has_touch=True)
    give(page, scene, ended="11 windows labelled")
    first, name = on_screen(page, scene)(SIZE_PX / 2, SIZE_PX / 2), page.locator("#map-here")

    def pointed(point: tuple[float, float]) -> str:
        page.mouse.move(*point)
        return name.inner_text()

    assert pointed(first).startswith("scene.tif, column 0, row 0")
    for _ in range(8):
        page.mouse.wheel(0, -120)
    assert pointed(first).startswith("scene.tif, column 0, row 0")  # what is under the mouse stays there
    third = on_screen(page, scene)(2.5 * SIZE_PX, SIZE_PX / 2)
    assert pointed(third).startswith("scene.tif, column 0, row 0")  # and all is larger
    page.get_by_role("button", name="Show everything").click()
    assert pointed(third).startswith("scene.tif, column 128, row 0")
    page.mouse.move(*first)
    page.mouse.down()
    page.mouse.move(*third, steps=3)
    page.mouse.up()
    assert pointed(third).startswith("scene.tif, column 0, row 0")
    assert "°" in pointed(first)  # ground without a window
    page.get_by_role("button", name="Show everything").click()
    browser = page.context.new_cdp_session(page)
    for kind, apart in (("touchStart", 40), ("touchMove", 80), ("touchMove", 160), ("touchEnd", 0)):
        points = [{"x": first[0] + side * apart / 2, "y": first[1], "id": side} for side in (-1, 1)]
        touches = points if apart else []
        browser.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})
    assert pointed(first).startswith("scene.tif, column 0, row 0")
    assert pointed((first[0] + 4 * SIZE_PX, first[1])).startswith("scene.tif, column 64")


def test_across_the_antimeridian_things_lie_together(
    show: Callable[..., Page], client: httpx2.Client, tmp_path: Path
) -> None:
    (east_m,), (north_m,) = rasterio.warp.transform("EPSG:4326", UTM_60S, [180], [-17])
    corner = (east_m - 1.5 * SIZE_PX * PIXEL_M, north_m)
    scene = write_scene(tmp_path / "scene.tif", columns=3, rows=1, corner=corner, crs=UTM_60S)
    page = show(service=client)
    give(page, scene, ended="2 windows labelled")
    place = on_screen_of_dateline(page, scene)
    for column in range(3):
        page.mouse.click(*place[column])
        expect(page.locator("#name")).to_have_text(f"scene.tif, column {column * SIZE_PX}, row 0")
    x, y, width, _ = rectangle(page)
    ends = []
    for left in (x + 2, x + width - 2):
        page.mouse.move(left, y + 20)
        ends.append(page.locator("#map-here").inner_text())
    assert ends[0].endswith("E") and ends[1].endswith("W")
    assert all("179.99" in end for end in ends)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_issue_on_the_map(
    show: Callable[..., Page], client: httpx2.Client, scene: Path, scheme: str
) -> None:
    page = show(service=client, color_scheme=scheme, reduced_motion="reduce")
    page.get_by_role("tab", name="Map").click()
    expect(page.locator("#map")).to_contain_text("Drop a GeoTIFF here")
    assert serious(page) == [], "empty"
    give(page, scene, ended="11 windows labelled")
    page.get_by_role("button", name="Next place").click()
    page.get_by_role("button", name="reddish", exact=False).last.click()
    page.get_by_role("button", name="Only what is in view").click()
    expect(page.locator("#area")).to_be_visible()
    assert serious(page) == [], "a scene, a place, an area"


@pytest.mark.parametrize("width_px", [320, 360, 820])
def test_nothing_is_cut_off_beside_the_map(
    show: Callable[..., Page], client: httpx2.Client, scene: Path, width_px: int
) -> None:
    page = show(service=client, viewport={"width": width_px, "height": 780})
    give(page, scene, ended="11 windows labelled")
    page.get_by_role("button", name="Next place").click()
    expect(page.locator("#detail")).to_be_visible()
    assert page.evaluate("() => document.documentElement.scrollWidth - innerWidth") <= 0
    _, _, width, _ = rectangle(page)
    assert width > width_px - 50


def test_a_background_comes_from_where_a_setting_says_and_is_credited(
    show: Callable[..., Page], colours: Bundle, scene: Path
) -> None:
    home = "https://tile.example/"
    settings = Settings(
        bundle=colours.folder, device="cpu", tiles=f"{home}{{z}}/{{x}}/{{y}}.png", tiles_attribution="© Us"
    )
    asked: list[str] = []

    def tile(route: Route) -> None:
        asked.append(route.request.url.removeprefix(home))
        route.fulfill(body=encoded(picture(BLUE, 256), "PNG"), content_type="image/png")

    with serving(settings) as service:
        page = show(service=service, elsewhere=home)
        assert asked == []  # before the map is looked at
        page.context.route(f"{home}**", tile)
        give(page, scene, ended="11 windows labelled")
        expect(page.locator("#attribution")).to_have_text("© Us")
        x, y, *_ = rectangle(page)
        expect(page.locator("#canvas")).to_be_visible()
        for _ in range(500):  # tiles are drawn when they are there
            if (colour := colour_at(page, (x + 60, y + 60))) == BLUE:
                break
            page.wait_for_timeout(20)
        assert colour == BLUE
    zooms = {int(address.split("/")[0]) for address in asked}
    zoom, column, row = (int(part) for part in asked[-1].removesuffix(".png").split("/"))
    assert zooms and max(zooms) <= 19
    (longitude,), (latitude,) = rasterio.warp.transform(UTM_21S, "EPSG:4326", [CORNER[0]], [CORNER[1]])
    assert abs(column - (longitude / 360 + 0.5) * 2**zoom) < 4
    squeezed = math.asinh(math.tan(math.radians(latitude)))
    assert abs(row - (0.5 - squeezed / (2 * math.pi)) * 2**zoom) < 4


def test_what_should_be_known_of_a_chip_is_told(show: Callable[..., Page], client: httpx2.Client) -> None:
    page = show(service=client)
    large: FilePayload = upload("large.png", encoded(picture(RED, 10 * SIZE_PX), "PNG"))
    page.set_input_files("#files", [large, upload("right.png", encoded(picture(RED), "PNG"))])
    card = page.get_by_role("option", name="large.png")
    expect(card).to_contain_text("warning")
    expect(page.get_by_role("option", name="right.png")).not_to_contain_text("warning")
    card.click()
    expect(page.locator("#warnings")).to_contain_text("640×640 px and was squeezed to 64×64")
    page.get_by_role("option", name="right.png").click()
    expect(page.locator("#warnings")).to_be_hidden()
