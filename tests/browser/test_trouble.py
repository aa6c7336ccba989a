"""When something is wrong: chips, files, the service, or what stands between."""

from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import drop, finished, four_bands, upload
from tests.browser.test_chips import JPEG, SAMPLE
from tests.fakes import RED, encoded, picture

NOT_READY = '{"type":"about:blank","title":"Not ready","status":503,"detail":"it is starting"}'


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
    expect(page.locator("#problem")).to_contain_text("accepted are JPEG and PNG")
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
    page.route("**/predict*", lambda route: route.abort())
    drop(page, JPEG)
    expect(page.locator("#problem")).to_contain_text("The service does not answer", timeout=15_000)
    page.unroute("**/predict*")
    page.locator("#retry").click()
    expect(page.locator(".row.set").first).to_be_visible()
    expect(page.locator("#problem")).to_be_hidden()


def test_another_model_is_told_and_not_mixed_in(page: Page) -> None:
    def change(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, json={**answer.json(), "model": {"name": "other", "version": "9"}})

    page.route("**/predict*", change)
    drop(page, JPEG)
    expect(page.locator("#problem")).to_contain_text("It runs other 9")


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
    page.set_input_files("#files", [upload("a.tif", four_bands(1)), upload("b.tif", four_bands(2))])
    expect(page.locator("#status")).to_have_text("0 chips labelled, 2 failed", timeout=60_000)
    for path in ("**/predict*", "**/preview"):
        page.unroute(path)
    page.locator("#retry").click()
    expect(page.locator("#status")).to_have_text("2 chips labelled", timeout=60_000)
    expect(page.locator(".card img[src^=blob]")).to_have_count(2)


def test_trying_again_is_asked_once(show: Callable[..., Page]) -> None:
    page = show(tolerate="422")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    drop(page, upload("broken.jpg", SAMPLE[:2000]))
    expect(page.locator("#problem")).to_be_visible()
    before = len(asked)
    page.locator("#problem button").evaluate("(button) => { for (let i = 0; i < 5; i++) button.click(); }")
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
    expect(page.locator("#alert")).to_have_text("Not ready it is starting")
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
    page.wait_for_timeout(8_000)  # until it has given up
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
    expect(page.locator("#alert")).to_have_text("Not ready it is starting")
    for path in ("**/labels", "**/model"):
        page.unroute(path)
    expect(page.locator("#card .tiles")).to_be_visible()
    expect(page.locator("#alert")).to_be_hidden()


def test_a_folder_without_an_image_is_told(page: Page, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("image_name,tags")
    page.set_input_files("#folder", tmp_path)
    expect(page.locator("#alert")).to_contain_text("No image in there")
