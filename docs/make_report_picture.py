"""Make docs/report.png: what a report looks like, on chips that are painted.

Paints chips whose labels are true by construction, trains the recipe `heads` on them, and
photographs the contact sheet of the run's report. No data set's pixel is in the picture.
Needs Chromium and a folder of ImageNet weights; takes some minutes on two CPU cores.

    .venv/bin/python docs/make_report_picture.py WEIGHTS
"""

import csv
import sys
from pathlib import Path

import numpy as np
from make_sample import (
    RED,
    SIZE_PX,
    WHITE,
    Car,
    Colour,
    Field,
    between,
    fractal_noise,
    house,
    photograph,
    river,
    road,
    trees,
    untouched,
)
from PIL import Image
from playwright.sync_api import sync_playwright

from training import cli

CHIPS = 40
RUNS = Path(__file__).parents[1] / "runs"
PICTURE = Path(__file__).parent / "report.png"
CHROMIUM = "/usr/bin/chromium"
WIDTH_PX = 860  # of the page: about as wide as a README
FRAME = """
section { padding: 1rem; }
section h2 { margin: 0; border: 0; padding: 0; }
.chips li:nth-child(n + 16) { display: none; }
"""  # three rows

SOILS: dict[str, tuple[Colour, Colour]] = {
    "bare-soil": ((128, 96, 70), (188, 158, 122)),
    "meadow": ((88, 104, 64), (160, 160, 112)),
}
THINGS = ("houses", "river", "road", "trees")


def draw_tags(rng: np.random.Generator) -> list[str]:
    """Return a ground and any of the things that may be on it."""
    soil = str(rng.choice(list(SOILS)))
    tags = [soil, *(thing for thing in THINGS if rng.random() < 0.45)]
    return [*tags, "cars"] if "road" in tags and rng.random() < 0.5 else tags


def paint(tags: list[str], rng: np.random.Generator) -> Image.Image:
    """Return a chip with what the tags say and nothing else."""
    ground = between(*SOILS[tags[0]], fractal_noise(rng, 128)) + rng.normal(0, 7, (SIZE_PX, SIZE_PX, 1))
    scene = ground
    if "river" in tags:
        scene = river(scene, rng, left_px=rng.uniform(10, 160))
    if "road" in tags:
        entry_px, rise = rng.uniform(80, 220), rng.uniform(-0.1, 0.3)
        scene = road(scene, rng, entry_px, rise, traffic(rng) if "cars" in tags else ())
    if "houses" in tags:
        scene = houses(scene, ground, rng)
    if "trees" in tags:
        scene = trees(scene, rng, untouched(scene, ground))
    light = rng.uniform(0.6, 1.15)
    return photograph(light * np.rot90(scene, rng.integers(4)), rng)


def traffic(rng: np.random.Generator) -> list[Car]:
    """Return one or two cars, on the stretch of road that is on every chip."""
    colours = (RED, WHITE)[: rng.integers(1, 3)]
    return [(int(rng.integers(20, 200)), int(rng.choice((-5, 5))), colour) for colour in colours]


def houses(scene: Field, ground: Field, rng: np.random.Generator) -> Field:
    """Add at least one house and at most five on free ground."""
    turn, wanted = rng.uniform(-0.5, 0.5), rng.integers(1, 6)
    placed = 0
    for x, y in rng.integers(32, SIZE_PX - 32, (200, 2)):
        if placed < wanted and untouched(scene, ground)[y - 28 : y + 28, x - 28 : x + 28].min() > 0.9:
            scene = house(scene, rng, x, y, turn)
            placed += 1
    assert placed, "no ground is free for a house"
    return scene


def write_chips(folder: Path) -> None:
    """Write a data set as a user would have it."""
    (folder / "chips").mkdir(parents=True, exist_ok=True)
    rows = []
    for seed in range(CHIPS):
        rng = np.random.default_rng(seed)
        tags = draw_tags(rng)
        rows.append((f"chip_{seed:02}", " ".join(tags)))
        paint(tags, rng).save(folder / "chips" / f"chip_{seed:02}.png")
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("image_name", "tags"), *rows])


def photograph_sheet(report: Path) -> None:
    """Write the picture of the contact sheet's first rows, as a palette PNG."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH_PX, "height": WIDTH_PX})
        page.goto(report.resolve().as_uri())
        page.add_style_tag(content=FRAME)
        page.evaluate("for (const image of document.images) image.loading = 'eager'")
        page.wait_for_function("[...document.images].every(image => image.complete)")
        page.locator("[aria-labelledby=sheet]").screenshot(path=PICTURE)
        browser.close()
    with Image.open(PICTURE) as picture:
        palette = picture.convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=5)
    palette.save(PICTURE, optimize=True)


def main(weights: Path) -> None:
    """Paint, train up to the report, and photograph."""
    data, run = RUNS / "painted-chips", RUNS / "painted"
    if not (data / "labels.csv").exists():
        write_chips(data)
    cli.prepare(data, run, "heads", weights=weights)
    for stage in (cli.fit, cli.predict, cli.tune, cli.evaluate, cli.report):
        stage(run)
    photograph_sheet(run / "report.html")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
