"""When something is wrong: chips, files, the service, or what stands between."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import FilePayload, Page, Route, expect

from service.client.transport import BUSY
from tests.browser.conftest import drop, finished, four_bands, upload
from tests.browser.test_chips import JPEG, SAMPLE
from tests.kit.fakes import RED, encoded, picture

NOT_READY = '{"type":"about:blank","title":"Not ready","status":503,"detail":"it is starting"}'


def pass_minutes(page: Page, minutes: float) -> None:
    """Let time pass in a page whose clock is installed; answers in between take their real time."""
    for _ in range(round(minutes * 60 / 4)):
        page.clock.run_for(4_000)
        page.wait_for_timeout(20)


def proxy_s_page(status: int, **headers: str) -> Callable[[Route], None]:
    """What nginx says where the service behind it does not answer."""
    text = f"<html><head><title>{status} </title></head><body><center>nginx</center></body></html>"
    return lambda route: route.fulfill(status=status, body=text, content_type="text/html", headers=headers)


def red_chips(count: int) -> list[FilePayload]:
    return [upload(f"{n}.png", encoded(picture(RED), "PNG")) for n in range(count)]


@pytest.mark.parametrize("status", BUSY)
def test_chips_wait_while_what_is_behind_a_proxy_restarts(
    show: Callable[..., Page], client: httpx2.Client, status: int
) -> None:
    page = show(service=client, tolerate=str(status))
    page.clock.install()
    page.route("**/predict*", proxy_s_page(status))
    page.set_input_files("#files", red_chips(6))
    expect(page.locator("#alert")).to_contain_text(str(status))
    expect(page.locator("#alert")).to_contain_text("Chips wait, and are sent again")
    pass_minutes(page, 1.5)  # longer than a start takes
    expect(page.locator("#status")).to_have_text("0 of 6 chips")
    page.unroute("**/predict*")
    pass_minutes(page, 0.2)
    finished(page, 6)
    expect(page.locator("#alert")).to_be_hidden()


def test_a_service_that_never_comes_back_is_given_up(
    show: Callable[..., Page], client: httpx2.Client
) -> None:
    page = show(service=client, tolerate="502")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.clock.install()
    page.route("**/predict*", proxy_s_page(502))
    page.set_input_files("#files", red_chips(30))
    pass_minutes(page, 2.5)  # and not as long for each of those that waited behind others
    expect(page.locator("#status")).to_have_text("0 chips labelled, 30 failed")
    expect(page.locator("#alert")).to_be_hidden()
    assert len(asked) < 4 * 50 + 30
    page.locator(".card").first.click()
    expect(page.locator("#problem")).to_contain_text("502 Bad Gateway")
    expect(page.locator("#problem")).to_contain_text("for 2 minutes; try again once the service runs")
    page.locator("#retry").click()
    pass_minutes(page, 1)  # with new patience
    expect(page.locator("#status")).to_have_text("0 of 30 chips")
    page.unroute("**/predict*")
    pass_minutes(page, 0.2)
    finished(page, 30)


@pytest.mark.parametrize(
    ("retry_after", "not_before_s", "by_s"),
    [("20", 16, 36), ("date", 12, 36), ("86400", 24, 52), ("soon", 0, 4), ("-5", 0, 4)],
)
def test_a_proxy_s_wish_when_to_come_back_is_heard_within_reason(
    show: Callable[..., Page], client: httpx2.Client, retry_after: str, not_before_s: int, by_s: int
) -> None:
    page = show(service=client, tolerate="503")
    paused, times = datetime.now(UTC) + timedelta(minutes=1), 0  # a clock is not set back

    def busy_once(route: Route) -> None:
        nonlocal times
        times += 1
        in_20_s = format_datetime(paused + timedelta(seconds=20), usegmt=True)
        wish = in_20_s if retry_after == "date" else retry_after
        (proxy_s_page(503, **{"Retry-After": wish}) if times == 1 else Route.continue_)(route)

    page.clock.install()
    page.clock.pause_at(paused)
    page.route("**/predict*", busy_once)
    drop(page, *red_chips(1))
    expect(page.locator("#alert")).to_contain_text("Chips wait")
    pass_minutes(page, not_before_s / 60)
    assert times == 1
    pass_minutes(page, (by_s - not_before_s) / 60)
    page.clock.resume()
    finished(page, 1)
    assert times == 2


@pytest.mark.parametrize("status", BUSY)
def test_a_page_that_opens_during_a_restart_gets_its_labels_and_card(
    show: Callable[..., Page], client: httpx2.Client, status: int
) -> None:
    page = show(service=client, tolerate=str(status))
    for path in ("**/labels", "**/model"):
        page.route(path, proxy_s_page(status))
    page.goto(f"{client.base_url}/#card")
    page.reload()
    expect(page.locator("#alert")).to_contain_text(str(status))
    expect(page.locator("#alert")).to_contain_text("This page asks again")
    for path in ("**/labels", "**/model"):
        page.unroute(path)
    expect(page.locator("#card .tiles")).to_be_visible()
    expect(page.locator("#model")).not_to_be_empty()
    expect(page.locator("#alert")).to_be_hidden()


def test_a_corrupt_file_among_many_is_told_in_its_place(show: Callable[..., Page]) -> None:
    page = show(tolerate="422")
    colours = [upload(f"{n}.png", encoded(picture((n, 99, 40), 256), "PNG")) for n in range(0, 250, 50)]
    broken = upload("broken.jpg", SAMPLE[:2000], "image/jpeg")
    page.set_input_files("#files", [JPEG, *colours, broken])
    finished(page, 7)
    expect(page.locator("#status")).to_have_text("6 chips labelled, 1 failed")
    failed = page.locator(".card[data-state=failed]")
    expect(failed).to_have_text("broken.jpgTruncated or corrupt image")
    failed.click()
    expect(page.locator("#problem")).to_contain_text("the image is truncated or corrupt")
    page.select_option("#show", "failed")
    expect(page.locator("#count")).to_have_text("1 of 7 chips")
    page.locator("#problem").get_by_role("button", name="Try again").click()
    finished(page, 1)  # of those shown
    expect(page.locator("#problem")).to_be_visible()  # it is no better than before


def test_a_text_is_refused_with_what_is_accepted(show: Callable[..., Page]) -> None:
    page = show(tolerate="415")
    drop(page, upload("notes.txt", b"hello", "text/plain"))
    expect(page.locator("#problem")).to_contain_text("accepted are JPEG, PNG")
    expect(page.locator("#picture")).to_be_hidden()


def test_a_busy_service_is_waited_for(show: Callable[..., Page]) -> None:
    page = show(tolerate="503")
    times = 0

    def busy_once(route: Route) -> None:
        nonlocal times
        times += 1
        if times > 1:
            route.continue_()
            return
        problem = '{"type":"about:blank","title":"Overloaded","status":503,"detail":"256 chips are waiting"}'
        headers = {"Retry-After": "1"}
        route.fulfill(status=503, body=problem, headers=headers, content_type="application/problem+json")

    page.route("**/predict*", busy_once)
    drop(page, JPEG)
    expect(page.locator("#alert")).to_contain_text("256 chips are waiting")
    expect(page.locator(".row.set").first).to_be_visible()
    expect(page.locator("#alert")).to_be_hidden()
    assert times == 2


def test_a_service_that_is_gone_is_told_and_can_be_asked_again(show: Callable[..., Page]) -> None:
    page = show(tolerate="ERR_FAILED")
    page.clock.install()
    page.route("**/predict*", lambda route: route.abort())
    drop(page, JPEG)
    expect(page.locator("#alert")).to_contain_text("The service does not answer")
    pass_minutes(page, 3)
    expect(page.locator("#problem")).to_contain_text("The service does not answer")
    page.unroute("**/predict*")
    page.locator("#retry").click()
    expect(page.locator(".row.set").first).to_be_visible()
    expect(page.locator("#problem")).to_be_hidden()


def test_a_proxy_s_page_is_no_answer(show: Callable[..., Page]) -> None:
    page = show(tolerate="413")
    page.route(
        "**/predict*", lambda route: route.fulfill(status=413, body="<h1>no", content_type="text/html")
    )
    drop(page, JPEG)
    expect(page.locator("#problem")).to_contain_text("413")


def test_a_file_that_is_gone_is_told_so(show: Callable[..., Page], tmp_path: Path) -> None:
    page = show(tolerate="Failed to load resource")  # the address of its picture, among others
    file = tmp_path / "a.png"
    picture(RED).save(file)
    page.route("**/labels", lambda route: route.fulfill(status=503, body=NOT_READY))
    page.reload()
    page.set_input_files("#files", file)
    file.unlink()  # while it waits
    page.unroute("**/labels")
    expect(page.locator("#problem")).to_contain_text("The file cannot be read")
    expect(page.locator("#problem")).to_contain_text("choose it again")


def test_a_picture_that_failed_comes_with_the_second_try(show: Callable[..., Page]) -> None:
    page = show(tolerate="ERR_FAILED")
    for path in ("**/predict*", "**/preview"):
        page.route(path, lambda route: route.abort())
    page.clock.install()
    page.set_input_files("#files", [upload("a.tif", four_bands(1)), upload("b.tif", four_bands(2))])
    pass_minutes(page, 3)
    expect(page.locator("#status")).to_have_text("0 chips labelled, 2 failed")
    for path in ("**/predict*", "**/preview"):
        page.unroute(path)
    page.locator("#retry").click()
    expect(page.locator("#status")).to_have_text("2 chips labelled")
    expect(page.locator(".card img[src^=blob]")).to_have_count(2)


def test_trying_again_is_asked_once(show: Callable[..., Page]) -> None:
    page = show(tolerate="422")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/predict" in request.url else None)
    drop(page, upload("broken.jpg", SAMPLE[:2000]))
    expect(page.locator("#problem")).to_be_visible()
    before = len(asked)
    with page.expect_response("**/predict*"):
        page.locator("#problem button").evaluate(
            "(button) => { for (let i = 0; i < 5; i++) button.click(); }"
        )
    expect(page.locator("#name")).to_be_focused()
    expect(page.locator("#status")).to_have_text("0 chips labelled, 1 failed")
    page.wait_for_timeout(300)
    assert len(asked) == before + 1


def test_chips_may_come_before_the_service_is_ready(show: Callable[..., Page]) -> None:
    page = show(tolerate="503")
    ready = False

    def later(route: Route) -> None:
        if ready:
            route.continue_()
        else:
            route.fulfill(status=503, body=NOT_READY)

    page.route("**/labels", later)
    page.reload()
    expect(page.locator("#alert")).to_have_text("Not ready it is starting This page asks again.")
    page.set_input_files("#files", [JPEG, upload("b.png", encoded(picture(RED), "PNG"))])
    expect(page.locator(".card img[src^=blob]")).to_have_count(2)
    ready = True
    finished(page, 2)


def test_pictures_that_were_missed_come_once_the_service_answers_again(show: Callable[..., Page]) -> None:
    page = show(tolerate="ERR_FAILED")
    page.route("**/preview", lambda route: route.abort())
    drop(page, upload("a.tif", four_bands(1)))
    expect(page.locator("#status")).to_have_text("1 chip labelled")
    expect(page.locator("#alert")).to_contain_text("The service does not answer")
    page.clock.install()
    pass_minutes(page, 3)  # until it has given up
    expect(page.locator("#alert")).to_be_hidden()
    page.unroute("**/preview")
    drop(page, upload("b.png", encoded(picture(RED), "PNG")))
    expect(page.locator(".card img[src^=blob]")).to_have_count(2)
    expect(page.locator("#alert")).to_be_hidden()


def test_a_model_card_that_was_asked_for_too_early_comes_by_itself(show: Callable[..., Page]) -> None:
    page = show(tolerate="503")
    for path in ("**/labels", "**/model"):
        page.route(path, lambda route: route.fulfill(status=503, body=NOT_READY))
    page.get_by_role("tab", name="Model card").click()
    page.reload()
    expect(page.locator("#alert")).to_have_text("Not ready it is starting This page asks again.")
    for path in ("**/labels", "**/model"):
        page.unroute(path)
    expect(page.locator("#card .tiles")).to_be_visible()
    expect(page.locator("#alert")).to_be_hidden()


def test_a_folder_without_an_image_is_told(page: Page, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("image_name,tags")
    page.set_input_files("#folder", tmp_path)
    expect(page.locator("#alert")).to_contain_text("No image in there")
