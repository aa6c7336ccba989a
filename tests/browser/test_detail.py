"""Looking at one chip: evidence, corrections, what is taken home."""

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
from playwright.sync_api import Download, Page, expect

from service.answers.overlay import overlay
from tests.browser.conftest import drop, finished, upload
from tests.browser.test_chips import JPEG, SAMPLE, pixels_of, tags
from tests.kit.fakes import GREEN, RED, encoded, picture
from tests.service.answers.test_footprint import geotiff
from training.data.tables.forms import read_tags

PLAIN = upload("plain, red.png", encoded(picture(RED), "PNG"), "image/png")


def text(download: Download) -> str:
    return Path(download.path()).read_bytes().decode()


def saved(page: Page, button: str) -> Download:
    with page.expect_download() as caught:
        page.get_by_role("button", name=re.compile(f"^{button}")).click()
    return caught.value


def lit(page: Page) -> bool:
    """Whether any evidence lies over the picture."""
    return bool(pixels_of(page, "#evidence")[..., 3].any())


def test_evidence_is_seen_by_pointing_focusing_and_pressing(page: Page) -> None:
    drop(page, JPEG)
    trees = page.locator(".row", has_text="trees").get_by_role("button")
    water = page.locator(".row", has_text="water").get_by_role("button")
    expect(trees).to_be_visible()
    assert not lit(page)
    trees.hover()
    expect(page.locator("#caption")).to_have_text("Evidence for trees")
    assert lit(page)
    water.hover()
    expect(page.locator("#caption")).to_have_text("water is not set: no evidence to show")
    assert not lit(page)
    page.mouse.move(0, 0)
    trees.focus()
    assert lit(page)
    trees.press("Enter")
    expect(trees).to_have_attribute("aria-pressed", "true")
    water.focus()
    assert not lit(page)
    page.locator("#theme").focus()
    assert lit(page), "a pressed label keeps its evidence"
    trees.focus()
    trees.press("Space")
    page.locator("#theme").focus()
    assert not lit(page)


def test_a_pressed_label_stays_from_chip_to_chip(page: Page) -> None:
    page.set_input_files("#files", [PLAIN, JPEG])
    finished(page, 2)
    page.locator(".row", has_text="trees").get_by_role("button").click()
    expect(page.locator("#caption")).to_have_text("trees is not set: no evidence to show")
    page.get_by_role("option", name="sample-chip.jpg").click()
    expect(page.locator("#caption")).to_have_text("Evidence for trees")


def test_a_finger_sees_evidence_too(show: Callable[..., Page]) -> None:
    page = show(has_touch=True, viewport={"width": 390, "height": 844})
    drop(page, JPEG)
    page.locator(".row", has_text="cars").get_by_role("button").tap()
    expect(page.locator("#caption")).to_have_text("Evidence for cars")
    assert lit(page)


def test_the_page_draws_evidence_as_the_service_does(page: Page, default_client: httpx2.Client) -> None:
    answer = default_client.post("/predict?evidence=true", files={"chip": SAMPLE}).json()["predictions"][0]
    grid = next(score["evidence"] for score in answer["scores"] if score["label"] == "trees")
    drop(page, JPEG)
    page.locator(".row", has_text="trees").get_by_role("button").focus()
    drawn = pixels_of(page, "#evidence").astype(float)
    grey_HW3 = np.full((*drawn.shape[:2], 3), 128, np.uint8)
    opaque = drawn[..., 3:] / 255
    over_grey = drawn[..., :3] * opaque + grey_HW3 * (1 - opaque)
    expected = np.asarray(overlay(grey_HW3, grid), float)
    assert np.abs(over_grey - expected).mean() < 1.5


def test_corrections_become_a_tags_file_that_the_trainer_reads(page: Page, tmp_path: Path) -> None:
    page.set_input_files("#files", [JPEG, PLAIN, upload("c.png", encoded(picture(GREEN), "PNG"))])
    finished(page, 3)
    before = tags(page)
    save = page.locator("#save-tags")
    expect(save).to_be_hidden()
    page.locator("#correct").click()
    expect(save).to_be_disabled()
    page.get_by_role("checkbox", name="trees is on the chip").uncheck()
    page.get_by_role("checkbox", name="water is on the chip").check()
    expect(page.locator("#verdict")).to_have_text("Reviewed: 2 labels corrected")
    expect(page.locator("#tags del")).to_have_text("trees")
    expect(page.locator("#tags ins")).to_have_text("water")
    page.get_by_role("button", name="Done, next chip").click()
    expect(page.locator("#name")).to_have_text("plain, red.png")
    right = tags(page) if page.locator("#tags li.none").count() == 0 else []
    page.get_by_role("button", name="All right, next chip").click()
    expect(page.locator("#name")).to_have_text("c.png")
    expect(page.locator("#verdict")).to_have_text("Not reviewed")
    expect(save).to_have_text("Save tags CSV (2)")

    file = tmp_path / "labels.csv"
    download = saved(page, "Save tags CSV")
    assert download.suggested_filename == "labels.csv"
    file.write_text(text(download), newline="")
    read = read_tags(file)
    assert read.names == ["sample-chip.jpg", "plain, red.png"]
    spoken = [{label.replace("-", " ") for label in row} for row in read.rows()]
    assert spoken == [{*before, "water"} - {"trees"}, set(right)]


def test_names_that_are_formulas_are_saved_as_text_and_read_back(page: Page, tmp_path: Path) -> None:
    names = ["=1+1.png", "@x.png", "-a, b.png", "'=c.png", "plain.png", "-1.5"]
    page.set_input_files(
        "#files", [upload(name, encoded(picture((9, 90, 40), 256), "PNG")) for name in names]
    )
    finished(page, len(names))
    rows = list(csv.reader(io.StringIO(text(saved(page, "CSV")))))
    guarded = ["'=1+1.png", "'@x.png", "'-a, b.png", "''=c.png", "plain.png", "-1.5"]
    assert [row[0] for row in rows[1:]] == guarded
    page.locator("#correct").click()
    page.get_by_role("option", name="=1+1.png").first.click()
    page.get_by_role("button", name="All right, next chip").click()
    file = tmp_path / "labels.csv"
    file.write_text(text(saved(page, "Save tags CSV")), newline="")
    assert read_tags(file).names == ["=1+1.png"]


def test_a_review_goes_on_where_it_was_though_chips_leave_the_view(page: Page) -> None:
    chips = [upload(f"{n}.png", encoded(picture((n * 40, 90, 40), 256), "PNG")) for n in range(5)]
    page.set_input_files("#files", chips)
    finished(page, 5)
    page.locator("#correct").click()
    page.select_option("#show", "unreviewed")
    page.get_by_role("option", name="2.png").click()
    page.get_by_role("checkbox", name="airplane is on the chip").check()
    expect(page.locator("#count")).to_have_text("4 of 5 chips")  # it has left
    page.get_by_role("button", name="Done, next chip").click()
    expect(page.locator("#name")).to_have_text("3.png")
    page.get_by_role("button", name="All right, next chip").click()
    page.get_by_role("button", name="All right, next chip").click()
    expect(page.get_by_role("button", name="All right, next chip")).to_be_focused()
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("button", name="All right, next chip")).to_be_focused()
    expect(page.locator("#verdict")).to_have_text("Not reviewed")


def test_a_review_takes_chips_that_came_after_the_first_was_selected(page: Page) -> None:
    drop(page, JPEG)
    expect(page.locator(".row.set").first).to_be_visible()
    page.set_input_files("#files", [PLAIN, upload("c.png", encoded(picture(GREEN), "PNG"))])
    finished(page, 3)
    page.locator("#correct").click()
    for name in ("plain, red.png", "c.png"):
        page.get_by_role("button", name="All right, next chip").click()
        expect(page.locator("#name")).to_have_text(name)


def test_a_correction_can_be_taken_back(page: Page) -> None:
    drop(page, JPEG)
    page.locator("#correct").click()
    trees = page.get_by_role("checkbox", name="trees is on the chip")
    trees.uncheck()
    page.get_by_role("button", name="Undo").click()
    expect(trees).to_be_checked()
    expect(page.locator("#verdict")).to_have_text("Not reviewed")


def test_unsaved_corrections_are_not_lost_without_a_word(page: Page) -> None:
    asked: list[str] = []

    def refuse(dialog: Any) -> None:  # noqa: ANN401
        asked.append(dialog.type)
        dialog.dismiss()

    page.on("dialog", refuse)
    drop(page, JPEG)
    page.locator("#correct").click()
    page.get_by_role("checkbox", name="trees is on the chip").uncheck()
    page.locator("#clear").click()
    expect(page.locator("#detail")).to_be_visible()
    with page.expect_event("dialog"):
        page.close(run_before_unload=True)
    assert asked == ["confirm", "beforeunload"]


def test_answers_are_saved_as_csv_json_and_geojson(page: Page, default_client: httpx2.Client) -> None:
    geo = geotiff()
    page.set_input_files("#files", [JPEG, upload("here.tif", geo, "image/tiff"), PLAIN])
    finished(page, 3)
    files = [("chip", (name, data)) for name, data in (("sample-chip.jpg", SAMPLE), ("here.tif", geo))]
    served = default_client.post("/predict?members=true&evidence=true&footprint=true", files=files).json()

    rows = list(csv.DictReader(io.StringIO(text(saved(page, "CSV")))))
    assert [row["image_name"] for row in rows] == ["sample-chip.jpg", "here.tif", "plain, red.png"]
    for row, prediction in zip(rows, served["predictions"], strict=False):
        assert row["model"] == " ".join(served["model"].values())
        assert row["tags"].split() == prediction["labels"]
        assert [float(row[score["label"]]) for score in prediction["scores"]] == [
            score["probability"] for score in prediction["scores"]
        ]

    kept = json.loads(text(saved(page, "JSON")))
    assert kept["model"] == served["model"]
    by = {"model": served["model"]}
    assert kept["predictions"][:2] == [prediction | by for prediction in served["predictions"]]

    collection = json.loads(text(saved(page, "GeoJSON")))
    assert collection["type"] == "FeatureCollection"
    first, here, _ = collection["features"]
    assert first["geometry"] is None
    assert here["geometry"] == served["predictions"][1]["footprint"]
    assert here["properties"]["labels"] == served["predictions"][1]["labels"]

    page.get_by_role("option", name="here.tif").click()
    longitude, latitude = np.mean(here["geometry"]["coordinates"][0][:4], axis=0)
    expect(page.locator("#place")).to_have_text(f"Centre at {-latitude:.4f}° S, {-longitude:.4f}° W")


def test_what_is_saved_is_what_is_shown(show: Callable[..., Page]) -> None:
    page = show(tolerate="415")
    page.set_input_files("#files", [JPEG, upload("bad.jpg", b"hello"), PLAIN])
    finished(page, 3)
    page.select_option("#show", "failed")
    rows = list(csv.DictReader(io.StringIO(text(saved(page, "CSV")))))
    assert [row["image_name"] for row in rows] == ["bad.jpg"]
    assert rows[0]["error"].startswith("Not an accepted image format: ")
    assert json.loads(text(saved(page, "GeoJSON")))["features"][0]["properties"]["labels"] is None


def test_the_model_card_tells_what_the_service_tells(page: Page, default_client: httpx2.Client) -> None:
    card = default_client.get("/model").json()
    page.get_by_role("tab", name="Model card").click()
    expect(page.locator("#card .tiles")).to_contain_text(f"{card['scores']['sample_f2']:.3f}")
    assert page.url.endswith("#card")
    worst = min(card["scores"]["labels"], key=lambda score: score["f2"])
    expect(page.locator("#card .weak li").first).to_contain_text(worst["label"].replace("-", " "))
    for score in card["scores"]["labels"]:
        row = page.locator(
            "#card tbody tr", has=page.get_by_role("rowheader", name=score["label"].replace("-", " "))
        )
        expect(row.first).to_contain_text(f"{score['f2']:.3f}")
    expect(page.locator("#card")).to_contain_text(card["provenance"]["sources"][0])
    page.reload()
    expect(page.locator("#card .tiles")).to_be_visible()
