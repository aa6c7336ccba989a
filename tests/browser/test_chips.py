"""Chips in, labels out: what a person does with the page."""

import io
import re
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.browser.conftest import drop, finished, four_bands, upload
from tests.kit.fakes import GREEN, RED, encoded, picture
from tests.kit.serving import SAMPLE_CHIP

SAMPLE = SAMPLE_CHIP.read_bytes()
JPEG = upload("sample-chip.jpg", SAMPLE, "image/jpeg")


def predicted(default_client: httpx2.Client, data: bytes) -> list[str]:
    """The labels that the service sets for one chip, in the page's words."""
    return [label.replace("-", " ") for label in answered(default_client, data)["labels"]]


def answered(default_client: httpx2.Client, data: bytes) -> dict[str, Any]:
    """What the service says of one chip."""
    (prediction,) = default_client.post("/predict", files={"chip": data}).json()["predictions"]
    return dict(prediction)


def tags(page: Page) -> list[str]:
    return page.locator("#tags li").all_inner_texts()


def loaded(page: Page, selector: str) -> None:
    """Wait for an image; not by its `decode()`, which was seen to fail on one that is there."""
    expect(page.locator(selector)).not_to_have_js_property("complete", False)
    expect(page.locator(selector)).not_to_have_js_property("naturalWidth", 0)


def pixels_of(page: Page, selector: str) -> Any:  # noqa: ANN401
    """A canvas's or an image's pixels, (H,W,4), as the browser has them."""
    loaded(page, selector)
    size_and_pixels = page.eval_on_selector(
        selector,
        """(element) => {
            const width = element.naturalWidth ?? element.width;
            const height = element.naturalHeight ?? element.height;
            const canvas = new OffscreenCanvas(width, height);
            const context = canvas.getContext("2d");
            context.drawImage(element, 0, 0);
            return [height, width, Array.from(context.getImageData(0, 0, width, height).data)];
        }""",
    )
    height, width, data = size_and_pixels
    return np.array(data, np.uint8).reshape(height, width, 4)


def test_a_dropped_chip_gets_its_labels(page: Page, default_client: httpx2.Client) -> None:
    drop(page, JPEG)
    expect(page.locator("#picture")).to_be_visible()
    expect(page.locator(".row.set").first).to_be_visible()
    assert tags(page) == predicted(default_client, SAMPLE)
    assert page.locator(".row.set .label").count() == len(tags(page))
    trees = page.get_by_role("button", name="trees (set")
    (score,) = [score for score in answered(default_client, SAMPLE)["scores"] if score["label"] == "trees"]
    words = f"trees (set, probability {score['probability']:.2f}, 3 of 3 votes, needs 2)"
    expect(trees).to_have_accessible_name(words)
    row = page.locator(".row", has=trees)
    assert row.locator(".dot.for").count() == 3
    assert row.locator(".tick").count() == 3
    assert page.locator(".groups h3").all_inner_texts() == ["COMMON"]


def test_a_pasted_picture_gets_its_labels(page: Page, default_client: httpx2.Client) -> None:
    page.evaluate(
        """(bytes) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(bytes)], "image.png", { type: "image/png" }));
            dispatchEvent(new ClipboardEvent("paste", { clipboardData: transfer }));
        }""",
        list(SAMPLE),
    )
    expect(page.locator("#name")).to_have_text("pasted-1.png")
    expect(page.locator(".row.set").first).to_be_visible()
    assert tags(page) == predicted(default_client, SAMPLE)


def test_many_chips_are_filtered_and_sorted(page: Page, default_client: httpx2.Client) -> None:
    chips = {f"{n}.png": encoded(picture((n, 120 - n // 4, 40), 256), "PNG") for n in range(0, 240, 40)}
    chips["sample.jpg"] = SAMPLE
    page.set_input_files("#files", [upload(name, data) for name, data in chips.items()])
    finished(page, len(chips))
    answer = default_client.post(
        "/predict?members=true", files=[("chip", chip) for chip in chips.items()]
    ).json()
    by_name = {
        prediction["filename"]: {score["label"]: score for score in prediction["scores"]}
        for prediction in answer["predictions"]
    }

    def shown() -> list[str]:
        return page.locator(".card .name").all_text_contents()

    page.select_option("#label", "trees")
    assert shown() == [name for name in chips if by_name[name]["trees"]["predicted"]]
    page.select_option("#show", "unset")
    assert shown() == [name for name in chips if not by_name[name]["trees"]["predicted"]]
    page.select_option("#show", "all")
    page.select_option("#sort", "unlikely")
    assert shown() == sorted(chips, key=lambda name: by_name[name]["trees"]["probability"])
    page.select_option("#label", "")
    page.select_option("#sort", "disagreement")
    spread = {
        name: max(max(score["members"]) - min(score["members"]) for score in scores.values())
        for name, scores in by_name.items()
    }
    assert shown() == sorted(chips, key=lambda name: -spread[name])
    expect(page.locator(".card .number").first).to_have_text(f"apart {max(spread.values()):.2f}")


def test_a_four_band_tiff_is_shown_and_labelled(page: Page, default_client: httpx2.Client) -> None:
    data = four_bands()
    drop(page, upload("planet.tif", data, "image/tiff"))
    expect(page.locator("#picture[src^=blob]")).to_be_visible()
    preview = Image.open(io.BytesIO(default_client.post("/preview", files={"chip": data}).content))
    np.testing.assert_array_equal(pixels_of(page, "#picture")[..., :3], np.asarray(preview))
    page.locator("#progress").wait_for(state="hidden")
    assert tags(page) == (predicted(default_client, data) or ["No label"])


def test_a_jpeg_of_four_components_is_shown_as_planet_means_it(page: Page, shared_data: Path) -> None:
    file = shared_data / "planet/jpg/train_1.jpg"
    page.set_input_files("#files", file)
    expect(page.locator("#picture[src^=blob]")).to_be_visible()
    shown_HW3 = pixels_of(page, "#picture")[..., :3].astype(int)
    assert abs(shown_HW3 - np.asarray(Image.open(file).convert("RGB"), int)).mean() < 1


def test_real_chips_get_the_labels_of_the_service(
    page: Page, default_client: httpx2.Client, shared_data: Path
) -> None:
    files = sorted((shared_data / "ucmerced").rglob("*.jpg"))[::140]
    files += sorted((shared_data / "planet/tif").glob("*"))[:2]
    page.set_input_files("#files", files)
    finished(page, len(files))
    for file in files:
        page.get_by_role("option", name=file.name).click()
        expect(page.locator("#name")).to_have_text(file.name)
        assert tags(page) == (predicted(default_client, file.read_bytes()) or ["No label"])


def test_a_file_s_name_is_text_and_nothing_else(page: Page) -> None:
    name = "<img src=x onerror=alert(1)>.png"
    drop(page, upload(name, encoded(picture(RED), "PNG")), upload("b.png", encoded(picture(RED), "PNG")))
    finished(page, 2)
    expect(page.locator("#name")).to_have_text(name)
    expect(page.locator(".card .name").first).to_have_text(name)


def test_clear_forgets_everything(page: Page) -> None:
    page.set_input_files("#files", [JPEG, upload("b.png", encoded(picture(RED), "PNG"))])
    finished(page, 2)
    page.locator("#clear").click()
    expect(page.locator("#toolbar")).to_be_hidden()
    expect(page.locator("#detail")).to_be_hidden()
    assert page.locator(".card").count() == 0
    page.set_input_files("#files", [JPEG])
    expect(page.locator(".row.set").first).to_be_visible()


def test_a_folder_gives_its_images_and_leaves_the_rest(page: Page, tmp_path: Path) -> None:
    inside = tmp_path / "chips/deep"
    for folder in (inside, tmp_path / "chips/__MACOSX", tmp_path / "chips/.trash"):
        folder.mkdir(parents=True)
        for name in ("a.png", "b.png", "._a.png")[: 3 if folder == inside else 1]:
            (folder / name).write_bytes(encoded(picture(RED), "PNG"))
    (inside / "labels.csv").write_text("image_name,tags\n")
    page.set_input_files("#folder", tmp_path / "chips")
    finished(page, 2)
    assert page.locator(".card .name").all_text_contents() == ["deep/a.png", "deep/b.png"]


def test_a_chip_is_shown_as_the_model_sees_it_whatever_the_camera_noted(page: Page) -> None:
    red_left = Image.new("RGB", (256, 256), GREEN)
    red_left.paste(RED, (0, 0, 128, 256))
    turned = Image.Exif()
    turned[0x0112] = 6  # a viewer should turn it by a quarter
    drop(page, upload("turned.jpg", encoded(red_left, "JPEG", exif=turned)))
    expect(page.locator("#picture[src^=blob]")).to_be_visible()
    loaded(page, "#picture")
    shot_HW3 = np.asarray(Image.open(io.BytesIO(page.locator(".picture").screenshot())).convert("RGB"))
    height_px, width_px, _ = shot_HW3.shape
    left, right = (shot_HW3[height_px // 4, column] for column in (width_px // 4, 3 * width_px // 4))
    assert left[0] > left[1] and right[1] > right[0]


def test_what_is_behind_opacity_is_shown_as_the_model_sees_it(page: Page) -> None:
    clear = Image.new("RGBA", (256, 256), (*RED, 0))
    drop(page, upload("clear.png", encoded(clear, "PNG")))
    expect(page.locator("#picture[src^=blob]")).to_be_visible()
    assert pixels_of(page, "#picture")[0, 0].tolist() == [*RED, 255]


def test_a_tall_chip_fits_and_its_evidence_covers_it(page: Page) -> None:
    drop(page, upload("tall.jpg", encoded(Image.open(io.BytesIO(SAMPLE)).resize((64, 512)), "JPEG")))
    expect(page.locator(".row").first).to_be_visible()
    expect(page.locator(".picture")).to_have_attribute("style", re.compile("--ratio"))  # when it is loaded
    picture_box, canvas_box = (page.locator(part).bounding_box() for part in ("#picture", "#evidence"))
    assert picture_box and picture_box["height"] < 500
    assert picture_box["height"] / picture_box["width"] == pytest.approx(8, rel=0.02)
    assert picture_box == canvas_box


def test_dropped_folders_and_files_all_come(page: Page, tmp_path: Path) -> None:
    folder = tmp_path / "chips"
    (folder / "sub").mkdir(parents=True)
    for hidden in ("__MACOSX", ".trash"):
        (folder / hidden).mkdir()
        picture(RED).save(folder / hidden / "a.png")
    for file in (folder / "a.png", folder / "sub/a.png", folder / "._a.png", tmp_path / "beside.png"):
        picture(RED).save(file)
    (folder / "labels.csv").write_text("image_name,tags")
    browser = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(folder), str(tmp_path / "beside.png")], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        browser.send("Input.dispatchDragEvent", {"type": kind, "x": 300, "y": 300, "data": data})
    finished(page, 3)
    assert page.locator(".card .name").all_text_contents() == ["a.png", "sub/a.png", "beside.png"]


def test_clear_forgets_the_view_too(page: Page) -> None:
    page.set_input_files("#files", [JPEG, upload("b.png", encoded(picture(RED), "PNG"))])
    finished(page, 2)
    page.select_option("#show", "failed")
    expect(page.locator(".nothing")).to_be_visible()
    page.locator("#show-all").click()
    expect(page.locator(".nothing")).to_be_hidden()
    expect(page.locator(".card").first).to_be_focused()
    page.select_option("#show", "failed")
    page.locator("#clear").click()
    page.set_input_files("#files", [JPEG])
    expect(page.locator(".row.set").first).to_be_visible()
    with page.expect_download() as caught:
        page.locator("[data-save=csv]").click()
    assert "sample-chip.jpg" in Path(caught.value.path()).read_text()
