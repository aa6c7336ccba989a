"""The page with a bundle of many bands: what it takes, shows and refuses."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image
from playwright.sync_api import Page, expect

from service.contract.sensors import SENSORS
from service.settings import Settings
from tests.browser.conftest import drop, finished, upload
from tests.browser.test_chips import JPEG, pixels_of, predicted, tags
from tests.kit.fakes import RAW_SCALE, RED, SIZE_PX, make_raw_bundle
from tests.kit.serving import serving

NAME = "sentinel-2-l2a"
BANDS = SENSORS[NAME].bands


def red_chip(blank_rows: int) -> bytes:
    """A TIFF of the sensor: red ground in a little noise, and rows that show nothing."""
    pixels_HWC = np.random.default_rng(0).integers(900, 1100, (SIZE_PX, SIZE_PX, len(BANDS)))
    for band, value in zip(("red", "green", "blue"), RED, strict=True):
        pixels_HWC[..., BANDS.index(band)] += value * RAW_SCALE
    pixels_HWC[:blank_rows] = 0
    file = io.BytesIO()
    tifffile.imwrite(file, pixels_HWC.astype(np.uint16), photometric="minisblack", planarconfig="contig")
    return file.getvalue()


def test_chips_of_many_bands_are_invited_shown_and_labelled(
    show: Callable[..., Page], tmp_path: Path
) -> None:
    folder = make_raw_bundle(tmp_path / "bundle", NAME).folder
    whole, cut = red_chip(0), red_chip(SIZE_PX // 4)
    with serving(Settings(bundle=folder, device="cpu")) as service:
        page = show(service=service, tolerate="422")
        expect(page.locator("#takes")).to_have_text(f"TIFFs of {NAME}, 12 bands of uint16, one or many.")
        expect(page.locator("#files")).to_have_attribute("accept", ".tif,.tiff,image/tiff")
        drop(page, upload("whole.tif", whole), upload("cut.tif", cut), JPEG)
        finished(page, 3)
        for name, data, words in (
            ("whole.tif", whole, ""),
            ("cut.tif", cut, "25 % of this chip shows nothing"),
        ):
            page.get_by_role("option", name=name).click()
            expect(page.locator("#name")).to_have_text(name)
            expect(page.locator("#picture[src^=blob]")).to_be_visible()
            preview = Image.open(io.BytesIO(service.post("/preview", files={"chip": data}).content))
            assert preview.size == (SIZE_PX, SIZE_PX)
            np.testing.assert_array_equal(pixels_of(page, "#picture")[..., :3], np.asarray(preview))
            assert tags(page) == predicted(service, data) == ["reddish"]
            expect(page.locator("#place")).to_have_text(words)
        page.locator(".card[data-state=failed]").click()
        expect(page.locator("#problem")).to_contain_text("this bundle needs TIFF chips of 12 bands of uint16")
        page.get_by_role("tab", name="Model card").click()
        expect(page.locator("#card .weak")).to_contain_text(f"swir22 ({NAME}, uint16)")


def test_a_bundle_of_colours_invites_pictures(page: Page) -> None:
    expect(page.locator("#takes")).to_have_text(
        "or paste a picture. JPEG, PNG, WebP, JPEG 2000 or TIFF, one or many."
    )
    expect(page.locator("#files")).to_have_attribute(
        "accept", ".jpg,.jpeg,.png,.webp,.jp2,image/jpeg,image/png,image/webp,.tif,.tiff,image/tiff"
    )
