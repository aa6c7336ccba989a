from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from service.contract.manifest import InputSpec
from tests.kit import stripes
from tests.kit.band_files import SPEC, write_bands
from tests.kit.ground import ground
from tests.training.report.test_report import Page
from training.report.look import look
from training.run.folder import Source


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    """Thirty chips with something odd about some."""
    data = stripes.write_data(tmp_path_factory.mktemp("look") / "data", 24)
    chips = data / "chips"
    extra: dict[str, list[str]] = {"copy": ["red"], "blank": [], "black": ["red"], "lonely": ["heron"]}
    Image.open(chips / "chip_3.png").save(chips / "copy.png", compress_level=1)
    for name, pixels_HWC in (("blank", ground(1)), ("black", ground(1) * 0), ("lonely", ground(2, 90))):
        Image.fromarray(pixels_HWC).save(chips / f"{name}.png")
    (chips / "broken.jpg").write_bytes(b"\xff\xd8 broken")
    tifffile.imwrite(
        chips / "bands.tif",
        ground(4)[..., [0, 1, 2, 0, 1]].astype(np.uint16) * 9,
        photometric="minisblack",
        planarconfig="contig",
    )
    extra |= {"broken": ["red"], "bands": ["red"], "gone": ["red"]}
    rows = {f"chip_{index}": stripes.tags_of(index) for index in range(24)}
    stripes.write_tags(data / "labels.csv", rows | extra)
    return Page(look(Source(data=data), data / "look.html").read_text(encoding="utf-8"))


def test_labels_are_counted(page: Page) -> None:
    counted = sum("blue" in stripes.tags_of(index) for index in range(24))
    assert f"blue {counted} {100 * counted / 31:.1f} %" in page.text.replace("\xa0", " ")


def test_sizes_and_bands_are_listed(page: Page) -> None:
    assert "27: 64×64 px, 3 bands, uint8" in page.text
    assert "1: 90×90 px, 3 bands, uint8" in page.text
    assert "1: 64×64 px, 5 bands, uint16" in page.text


def test_odd_rows_are_named(page: Page) -> None:
    for said in (
        "No file: 1 gone",
        "Cannot be read: 1 broken",
        "A label that no other chip has: 1 lonely",
        "One value everywhere: 1 black",
        "chip_3 and copy: same pixels",
        "Copies with different labels: 1 chip_3 and copy",
    ):
        assert said in page.text


def test_the_page_needs_no_other_file_and_shows_chips(page: Page) -> None:
    pictures = [image["src"] for image in page.all("img")]
    assert len(pictures) > 20
    assert all(source and source.startswith("data:") for source in pictures)
    assert not page.all("script") and not page.all("link")


@pytest.mark.parametrize("spec", [None, SPEC])
def test_chips_of_one_file_per_band_are_shown_in_their_colours(
    tmp_path: Path, spec: InputSpec | None
) -> None:
    for seed in range(3):
        for band, pixels_HW in write_bands(tmp_path / f"p{seed}", "{code}.tif", seed).items():
            if band == "red":  # nothing else is as bright somewhere
                tifffile.imwrite(tmp_path / f"p{seed}" / "B04.tif", pixels_HW // 100 + 1)
    stripes.write_tags(
        tmp_path / "labels.csv", {f"p{seed}": ["water", "dark"][: seed + 1] for seed in range(3)}
    )
    page = Page(look(Source(data=tmp_path), tmp_path / "look.html", spec).read_text(encoding="utf-8"))
    assert "3: 12 files a chip: 96×96, 48×48, 16×16 px, uint16" in page.text
    assert "3 chips of 12 bands, uint16" in page.text
    assert len(page.all("img")) == 5
    assert ("rededge071" in page.text) == (spec is not None)
