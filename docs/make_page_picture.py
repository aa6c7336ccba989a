"""Make docs/page.png: the page of a running service, with chips that are painted.

No data set's pixel is in the picture. Needs Chromium and `make serve` in another terminal.

    .venv/bin/python docs/make_page_picture.py http://127.0.0.1:8000
"""

import io
import sys
from pathlib import Path

import numpy as np
from make_report_picture import CHROMIUM, draw_tags, paint
from PIL import Image
from playwright.sync_api import FilePayload, sync_playwright

HERE = Path(__file__).parent
PICTURE = HERE / "page.png"
CHIPS = 11  # beside the sample chip


def painted(seed: int) -> FilePayload:
    """Return a painted chip as a file."""
    rng = np.random.default_rng(seed)
    file = io.BytesIO()
    paint(draw_tags(rng), rng).save(file, "PNG")
    return {"name": f"painted-{seed:02}.png", "mimeType": "image/png", "buffer": file.getvalue()}


def main(url: str) -> None:
    """Drop the chips, point at a label, and photograph, as a palette PNG."""
    sample: FilePayload = {
        "name": "sample-chip.jpg",
        "mimeType": "image/jpeg",
        "buffer": (HERE / "sample-chip.jpg").read_bytes(),
    }
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1360, "height": 880}, color_scheme="light")
        page.goto(url)
        page.locator("#model:not(:empty)").wait_for()
        page.set_input_files("#files", [sample, *(painted(seed) for seed in range(1, CHIPS + 1))])
        page.locator("#status", has_text="chips labelled").wait_for()
        page.locator(".row", has_text="trees").hover()
        page.screenshot(path=PICTURE)
        browser.close()
    with Image.open(PICTURE) as picture:
        palette = picture.convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=3)
    palette.save(PICTURE, optimize=True)


if __name__ == "__main__":
    main(sys.argv[1])
