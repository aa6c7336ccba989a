"""A bundle is tried unseen: whoever may know sees how it differs, for as long as it lasts."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Browser, Page, Route, expect

from service.server.access.keys import mint
from service.settings import Settings
from tests.browser.conftest import finished, upload
from tests.browser.test_access import serious
from tests.kit.fakes import BLACK, BLUE, GREEN, RED, encoded, make_bundle, picture
from tests.kit.serving import serving
from tests.kit.swaps import ended, hasty_members, make_versions, swapped, tried

CHIPS = [
    upload(f"{number}.png", encoded(picture(colour), "PNG"), "image/png")
    for number, colour in enumerate((RED, GREEN, BLUE, BLACK))
]
NEVER_MS = 30_000  # after so long, whoever asks from time to time has asked


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two bundles, of which the second sees `dark` everywhere."""
    make_versions(tmp_path / "root", "2.0")
    make_bundle(tmp_path / "root/2.1", version="2.1", members=hasty_members((3,)))
    return tmp_path / "root"


@pytest.fixture
def service(root: Path, settings: Settings) -> Iterator[httpx2.Client]:
    with serving(settings.model_copy(update={"bundle": root / "2.0", "bundles": root})) as client:
        yield client


def timed(page: Page) -> Page:
    """Load the page again with a clock that a test can turn on."""
    page.clock.install()
    page.reload()
    page.locator("#model:not(:empty)").wait_for()
    return page


def asked(page: Page) -> list[str]:
    """Whatever the page asks about trials from now on."""
    found: list[str] = []
    page.on("request", lambda request: found.append(request.url) if "/shadow" in request.url else None)
    return found


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_trial_is_shown_until_it_ends(
    show: Callable[..., Page], service: httpx2.Client, scheme: str
) -> None:
    swapped(service, "2.1", "/shadow", share=1)
    page = timed(show(service=service, color_scheme=scheme))
    panel = page.get_by_role("region", name="Version 2.1 is tried unseen")
    expect(panel).to_contain_text("on 100 % of the chips; version 2.0 answers")
    expect(panel.get_by_role("table")).to_be_hidden()
    page.set_input_files("#files", CHIPS)
    finished(page, 4)
    tried(service, 4)
    page.clock.run_for(6000)
    expect(panel.locator("dl")).to_have_text(re.compile(r"compared4.*differ3.*failed0.*skipped0", re.S))
    expect(panel.locator("tbody tr")).to_have_text(["dark30"])
    expect(panel).to_contain_text("chipvote swap --end-shadow")
    assert panel.get_by_role("button").count() == 0
    assert serious(page) == []

    panel.locator("summary").focus()
    page.keyboard.press("Enter")
    expect(panel.get_by_role("table")).to_be_hidden()
    page.clock.run_for(6000)
    expect(panel.locator("summary")).to_be_focused()
    assert not panel.locator("details").evaluate("(details) => details.open")

    service.delete("/shadow")
    ended(service)
    page.clock.run_for(6000)
    expect(panel).to_be_hidden()
    expect(page.locator("#files")).to_be_focused()
    expect(page.locator("#model")).to_have_text("colours 2.0")
    questions = asked(page)
    page.clock.run_for(NEVER_MS)
    assert questions == []


@pytest.mark.parametrize("width_px", [320, 820])
def test_on_a_narrow_screen_a_trial_takes_one_line_until_it_is_opened(
    show: Callable[..., Page], service: httpx2.Client, width_px: int
) -> None:
    swapped(service, "2.1", "/shadow", share=0.125)
    page = show(service=service, viewport={"width": width_px, "height": 800})
    panel = page.locator("#trial")
    expect(panel.locator("summary")).to_contain_text("on 13 % of the chips")
    expect(panel.locator("dl")).to_be_hidden()
    panel.locator("summary").click()
    expect(panel.locator("dl")).to_be_visible()
    assert page.evaluate("() => document.documentElement.scrollWidth - innerWidth") <= 0


def test_a_candidate_that_answers_is_named_at_once(show: Callable[..., Page], service: httpx2.Client) -> None:
    swapped(service, "2.1", "/shadow", share=0.5)
    page = timed(show(service=service))
    expect(page.locator("#trial")).to_contain_text("on 50 % of the chips")
    swapped(service, "2.1", most_different=1)
    page.clock.run_for(6000)
    expect(page.locator("#trial")).to_be_hidden()
    expect(page.locator("#model")).to_have_text("colours 2.1")


def test_nobody_asks_again_where_nothing_is_tried(show: Callable[..., Page], service: httpx2.Client) -> None:
    page = timed(show(service=service))
    questions = asked(page)
    page.set_input_files("#files", CHIPS)
    finished(page, 4)
    page.clock.run_for(NEVER_MS)
    assert len(questions) == 1  # after the batch
    expect(page.locator("#trial")).to_be_hidden()
    swapped(service, "2.1", "/shadow", share=1, most_different=1)
    page.set_input_files("#files", CHIPS)
    finished(page, 8)
    expect(page.locator("#trial")).to_be_visible()


def test_nobody_asks_while_the_page_is_out_of_sight(
    show: Callable[..., Page], service: httpx2.Client
) -> None:
    swapped(service, "2.1", "/shadow", share=1)
    page = timed(show(service=service))
    expect(page.locator("#trial")).to_be_visible()
    see = """(hidden) => {
        Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
        document.dispatchEvent(new Event("visibilitychange"));
    }"""
    page.evaluate(see, True)
    questions = asked(page)
    page.clock.run_for(NEVER_MS)
    assert questions == []
    service.delete("/shadow")
    ended(service)
    page.evaluate(see, False)
    expect(page.locator("#trial")).to_be_hidden()
    assert len(questions) == 1


def test_a_service_that_fails_to_tell_is_asked_less_often(
    show: Callable[..., Page], service: httpx2.Client
) -> None:
    swapped(service, "2.1", "/shadow", share=1)
    page = timed(show(service=service, tolerate="429"))
    expect(page.locator("#trial")).to_be_visible()
    times = 0

    def refuse(route: Route) -> None:
        nonlocal times
        times += 1
        route.fulfill(status=429, body="{}")

    page.route("**/shadow", refuse)
    for _ in range(60):
        page.clock.run_for(5000)
        page.wait_for_timeout(10)
    assert 3 <= times <= 9
    expect(page.locator("#trial")).to_be_visible()
    expect(page.locator("#alert")).to_be_hidden()
    page.unroute("**/shadow")
    service.delete("/shadow")
    ended(service)
    page.clock.run_for(61_000)
    expect(page.locator("#trial")).to_be_hidden()


@pytest.mark.parametrize("scopes", [["predict"], ["predict", "metrics"]])
def test_a_trial_is_shown_only_with_a_key_that_may_know(
    browser: Browser, root: Path, tmp_path: Path, settings: Settings, scopes: list[str]
) -> None:
    (token, line), (admin, other) = mint("page", scopes=scopes), mint("operator", scopes=["admin"])
    keys = tmp_path / "keys.toml"
    keys.write_text(f"{line}\n{other}", encoding="utf-8")
    update = {"bundle": root / "2.0", "bundles": root, "keys": keys}
    with serving(settings.model_copy(update=update)) as client:
        client.headers["x-api-key"] = admin
        assert swapped(client, "2.1", "/shadow", share=1)["shadow"]
        context = browser.new_context()
        page = context.new_page()
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        questions = asked(page)
        page.goto(f"{client.base_url}/")
        page.get_by_label("Key").fill(token)
        page.get_by_label("Key").press("Enter")
        page.set_input_files("#files", CHIPS)
        finished(page, 4)
        may = "metrics" in scopes
        expect(page.locator("#trial")).to_be_visible(visible=may)
        page.set_input_files("#files", CHIPS)
        finished(page, 8)
        if not may:
            assert len(questions) == 1
        expect(page.locator("#alert")).to_be_hidden()
        expect(page.locator("#ask-key")).to_be_hidden()
        assert faults == []
        context.close()
