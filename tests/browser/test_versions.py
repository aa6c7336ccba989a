"""Another version answers: the page says so, and which chips the one before labelled."""

import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import APIResponse, Page, Route, expect

from service.settings import Settings
from tests.browser.conftest import drop, finished, upload
from tests.browser.test_access import serious
from tests.browser.test_chips import JPEG
from tests.browser.test_detail import saved, text
from tests.browser.test_rules import BLEND
from tests.kit.fakes import BLACK, GREEN, RED, encoded, make_bundle, picture
from tests.kit.serving import serving
from tests.kit.swaps import swapped

RED_CHIP, GREEN_CHIP, BLACK_CHIP = (
    upload(f"{name}.png", encoded(picture(colour), "PNG"), "image/png")
    for name, colour in (("red", RED), ("green", GREEN), ("black", BLACK))
)


@pytest.fixture
def service(tmp_path: Path, settings: Settings) -> Iterator[httpx2.Client]:
    """A service whose second bundle decides by another rule."""
    make_bundle(tmp_path / "vote", version="1.0")
    make_bundle(tmp_path / "blend", version="1.1", rule=BLEND)
    update = {"bundle": tmp_path / "vote", "bundles": tmp_path}
    with serving(settings.model_copy(update=update)) as client:
        yield client


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_chips_of_an_earlier_version_say_so(
    show: Callable[..., Page], service: httpx2.Client, scheme: str
) -> None:
    page = show(service=service, color_scheme=scheme)
    badges = page.locator(".card .version")
    model, version = page.locator("#model"), page.locator("#version")
    page.set_input_files("#files", [RED_CHIP, BLACK_CHIP])
    finished(page, 2)
    expect(model).to_have_text("colours 1.0")
    expect(badges).to_have_count(0)
    expect(version).to_be_hidden()

    swapped(service, "blend", most_different=1)
    page.set_input_files("#files", GREEN_CHIP)
    finished(page, 3)
    expect(model).to_have_text("colours 1.1")
    expect(badges).to_have_text(["version 1.0"] * 2)
    page.get_by_role("option", name="red.png").click()
    expect(version).to_have_text("Labelled by version 1.0; version 1.1 answers now")
    assert page.locator(".row").first.locator(".tick").count() == 3  # as that version decided
    page.locator("summary", has_text="How to read").click()
    expect(page.locator(".legend li:visible").first).to_contain_text("the mean of the members")
    assert serious(page) == []
    page.get_by_role("option", name="green.png").click()
    expect(version).to_be_hidden()
    assert page.locator(".row").first.locator(".tick").count() == 1
    expect(page.locator(".legend li:visible").first).to_contain_text("score")

    swapped(service, "vote", most_different=1)  # and back
    page.set_input_files("#files", upload("again.png", RED_CHIP["buffer"]))
    finished(page, 4)
    expect(model).to_have_text("colours 1.0")
    expect(badges).to_have_text(["version 1.1"])


def test_an_answer_that_comes_late_does_not_turn_the_page_back(
    show: Callable[..., Page], service: httpx2.Client
) -> None:
    page = show(service=service)
    held: list[tuple[Route, APIResponse]] = []

    def hold(route: Route) -> None:
        if held:
            route.continue_()
        else:
            held.append((route, route.fetch()))

    page.route("**/predict*", hold)
    with page.expect_request("**/predict*"):
        page.set_input_files("#files", RED_CHIP)
    while not held:
        page.wait_for_timeout(20)
    swapped(service, "blend", most_different=1)
    page.set_input_files("#files", GREEN_CHIP)
    expect(page.locator("#model")).to_have_text("colours 1.1")
    route, answer = held[0]
    route.fulfill(response=answer)
    finished(page, 2)
    expect(page.locator(".card .version")).to_have_text(["version 1.0"])
    expect(page.locator(".card .labels").first).to_contain_text("reddish")
    expect(page.locator("#model")).to_have_text("colours 1.1")


def test_what_is_saved_tells_each_chip_s_version(show: Callable[..., Page], service: httpx2.Client) -> None:
    page = show(service=service)
    drop(page, RED_CHIP)
    finished(page, 1)
    assert json.loads(text(saved(page, "JSON")))["model"] == {"name": "colours", "version": "1.0"}
    swapped(service, "blend", most_different=1)
    page.set_input_files("#files", GREEN_CHIP)
    finished(page, 2)
    versions = ["1.0", "1.1"]
    kept = json.loads(text(saved(page, "JSON")))
    assert kept["model"] is None
    assert [prediction["model"]["version"] for prediction in kept["predictions"]] == versions
    rows = csv.DictReader(io.StringIO(text(saved(page, "CSV"))))
    assert [row["model"] for row in rows] == [f"colours {version}" for version in versions]
    features = json.loads(text(saved(page, "GeoJSON")))["features"]
    assert [feature["properties"]["model"] for feature in features] == [f"colours {v}" for v in versions]


def test_the_model_card_is_of_the_version_that_answers(
    show: Callable[..., Page], service: httpx2.Client
) -> None:
    page = show(service=service)
    page.get_by_role("tab", name="Model card").click()
    heading = page.locator("#card h2")
    expect(heading).to_have_text("colours 1.0")
    swapped(service, "blend", most_different=1)
    page.get_by_role("tab", name="Chips").click()
    drop(page, RED_CHIP)
    finished(page, 1)
    page.get_by_role("tab", name="Model card").click()
    expect(heading).to_have_text("colours 1.1")
    expect(page.locator("#card")).to_contain_text("weighted sum of all members")


def test_another_model_is_told_and_not_mixed_in(page: Page) -> None:
    """As after a start with a bundle of other labels, which no swap brings in."""
    other = {"name": "other", "version": "9"}

    def change(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, json={**answer.json(), "model": other})

    def describe(route: Route) -> None:
        route.fulfill(json={"model": other, "rule": "vote", "labels": [{"name": "urban"}]})

    page.route("**/predict*", change)
    page.route("**/labels*", describe)
    drop(page, JPEG)
    expect(page.locator("#problem")).to_contain_text("It runs other 9, of other labels")
    expect(page.locator("#model")).not_to_have_text("other 9")
