"""The page without a mouse, without sight of colours, without a wide screen, without a network."""

from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.conftest import drop, finished, upload
from tests.browser.test_chips import JPEG, SAMPLE
from tests.kit.fakes import GREEN, RED, encoded, picture

CHIPS = [
    JPEG,
    upload("red.png", encoded(picture(RED), "PNG"), "image/png"),
    upload("green.png", encoded(picture(GREEN), "PNG"), "image/png"),
    upload("broken.jpg", SAMPLE[:2000], "image/jpeg"),
]


def serious(page: Page) -> list[str]:
    """What axe-core finds that keeps somebody out."""
    found = Axe().run(page).response["violations"]
    return [
        f"{issue['id']}: {node['target']} {node['failureSummary']}"
        for issue in found
        if issue["impact"] in ("serious", "critical")
        for node in issue["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_issue_in_any_state(show: Callable[..., Page], scheme: str) -> None:
    page = show(tolerate="422", color_scheme=scheme, reduced_motion="reduce")  # no half-way colours
    assert serious(page) == [], "empty"
    drop(page, JPEG)
    expect(page.locator(".row.set").first).to_be_visible()
    page.locator(".legend summary").click()
    page.locator(".row", has_text="trees").get_by_role("button").click()
    assert serious(page) == [], "one chip, with evidence"
    page.set_input_files("#files", CHIPS[1:])
    finished(page, len(CHIPS))
    page.locator("#correct").click()
    page.get_by_role("checkbox", name="trees is on the chip").click()
    page.get_by_role("checkbox", name="water is on the chip").click()
    assert serious(page) == [], "gallery, correcting"
    page.locator(".card[data-state=failed]").click()
    expect(page.locator("#problem")).to_be_visible()
    assert serious(page) == [], "error"
    page.get_by_role("tab", name="Model card").click()
    expect(page.locator("#card .tiles")).to_be_visible()
    assert serious(page) == [], "model card"


def test_everything_can_be_done_with_the_keyboard(show: Callable[..., Page]) -> None:
    page = show(tolerate="422")

    def tab_to(selector: str) -> None:
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.evaluate("(s) => document.activeElement.matches(s)", selector):
                return
        raise AssertionError(f"{selector} cannot be reached")

    # Listening from the start: the browser hands choosers over only some time after it is asked.
    page.on("filechooser", lambda chooser: chooser.set_files(CHIPS))
    tab_to("#files")
    page.keyboard.press("Enter")
    finished(page, len(CHIPS))
    tab_to("#correct")
    page.keyboard.press("Space")
    tab_to(".card")
    page.keyboard.press("Home")
    expect(page.locator("#name")).to_have_text("sample-chip.jpg")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#name")).to_have_text("red.png")
    page.keyboard.press("End")
    expect(page.locator("#name")).to_have_text("broken.jpg")
    page.keyboard.press("Home")
    tab_to(".label")
    tab_to(".row.set .label")
    expect(page.locator("#caption")).to_contain_text("Evidence for")
    page.keyboard.press("Enter")
    expect(page.locator(".label[aria-pressed=true]")).to_have_count(1)
    tab_to(".truth input")
    page.keyboard.press("Space")
    expect(page.locator("#verdict")).to_have_text("Reviewed: 1 label corrected")
    for _ in range(60):  # back to the toolbar
        page.keyboard.press("Shift+Tab")
        if page.evaluate("() => document.activeElement.id === 'save-tags'"):
            break
    with page.expect_download():
        page.keyboard.press("Enter")
    for _ in range(60):
        page.keyboard.press("Shift+Tab")
        if page.evaluate("() => document.activeElement.role === 'tab'"):
            break
    page.keyboard.press("ArrowRight")
    expect(page.locator("#map")).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#card .tiles")).to_be_visible()


@pytest.mark.parametrize("width_px", [320, 390, 820, 1440, 2560])
def test_nothing_is_cut_off_on_any_screen(show: Callable[..., Page], width_px: int) -> None:
    page = show(tolerate="422", viewport={"width": width_px, "height": 800})

    def overflow_px() -> int:
        width = page.evaluate("() => document.documentElement.scrollWidth - innerWidth")
        return int(width)

    assert overflow_px() <= 0
    page.set_input_files("#files", CHIPS)
    finished(page, len(CHIPS))
    page.locator("#correct").click()
    assert overflow_px() <= 0
    page.locator(".card").first.click()
    expect(page.locator("#detail")).to_be_visible()
    assert overflow_px() <= 0
    page.get_by_role("tab", name="Model card").click()
    expect(page.locator("#card .tiles")).to_be_visible()
    assert overflow_px() <= 0


def test_on_a_phone_a_chip_opens_and_closes(show: Callable[..., Page]) -> None:
    page = show(tolerate="422", viewport={"width": 390, "height": 844}, has_touch=True)
    page.set_input_files("#files", CHIPS)
    finished(page, len(CHIPS))
    expect(page.locator("#detail")).to_be_hidden()
    page.locator(".card", has_text="red.png").tap()
    expect(page.locator("#name")).to_have_text("red.png")
    expect(page.locator("#list")).to_be_hidden()
    page.get_by_role("button", name="All chips").tap()
    expect(page.locator("#list")).to_be_visible()
    expect(page.locator(".card", has_text="red.png")).to_be_focused()


def test_light_and_dark_are_chosen_and_kept(show: Callable[..., Page]) -> None:
    page = show(color_scheme="light")

    def background() -> str:
        return str(page.evaluate("() => getComputedStyle(document.body).backgroundColor"))

    assert background() == "rgb(244, 246, 243)"
    page.locator("#theme").click()
    assert background() == "rgb(16, 21, 19)"
    page.reload()
    assert background() == "rgb(16, 21, 19)"


def test_the_page_needs_no_other_network(show: Callable[..., Page]) -> None:
    """All but the service is refused, and the page still works; `show` looks for complaints."""
    page = show(tolerate="inline event handler")
    page.context.route(
        lambda url: "127.0.0.1" not in url and not url.startswith("blob:"), lambda route: route.abort()
    )
    page.reload()
    drop(page, JPEG)
    expect(page.locator(".row.set").first).to_be_visible()
    policy = page.evaluate(
        """async () => {
            const refused = new Promise((resolve) =>
                addEventListener("securitypolicyviolation", (event) => resolve(event.effectiveDirective)));
            document.body.insertAdjacentHTML("beforeend", "<p onclick='0'>");
            document.body.lastElementChild.click(); // some look at a handler only when it is to run
            return Promise.race([refused, new Promise((resolve) => setTimeout(resolve, 2000, "none"))]);
        }"""
    )
    assert policy == "script-src-attr"


def test_the_documentation_needs_no_other_network_either(show: Callable[..., Page]) -> None:
    page = show()
    page.get_by_role("link", name="HTTP interface").click()
    expect(page.locator(".opblock-summary-path", has_text="/predict").first).to_be_visible()
