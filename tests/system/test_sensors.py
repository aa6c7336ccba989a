"""Chips of every sensor: trained on, exported at each precision, served, shown.

Painted: coloured stripes, each band a mixture of them in the sensor's own kind of numbers.

Shape suffixes: H height, W width, C bands.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from playwright.sync_api import expect, sync_playwright

pytest.importorskip("torch", reason="networks are fitted here, which needs PyTorch")

from service.contract.chips.decode import decode_chip
from service.contract.manifest import Precision
from service.contract.sensors import SENSORS, Sensor
from service.engine.ensemble import Ensemble
from service.settings import Settings
from tests.browser.conftest import CHROMIUM, QUIET, drop, finished, upload
from tests.kit import networks, stripes
from tests.kit.serving import serving
from training.config.sensor import with_sensor
from training.data.dataset import prepare
from training.decision.tune import tune
from training.evaluation.evaluate import evaluate
from training.export.export import export
from training.fit.fit import fit
from training.fit.predict import predict
from training.run.folder import Run, Source

CHIPS = 16
PRECISIONS: tuple[Precision, ...] = ("float32", "float16", "int8")


def write_chips(folder: Path, sensor: Sensor) -> Path:
    """Write chips whose bands are mixtures of a picture's colours; return the data's folder."""
    (folder / "chips").mkdir(parents=True)
    tags = {f"chip_{index}": stripes.tags_of(index) for index in range(CHIPS)}
    stripes.write_tags(folder / "labels.csv", tags)
    mixture_3C = np.random.default_rng(0).dirichlet(np.ones(3), len(sensor.bands)).T
    for colour, band in enumerate(("red", "green", "blue")):
        mixture_3C[:, sensor.bands.index(band)] = np.eye(3)[colour]
    low, high = (0, 255) if sensor.dtype == "uint8" else (4000, 12000)
    for seed, (name, row) in enumerate(tags.items()):
        grey_HWC = np.asarray(stripes.draw(row, seed)) @ mixture_3C / 255
        pixels_HWC = (low + (high - low) * grey_HWC).astype(sensor.dtype)
        path = folder / "chips" / f"{name}.tif"
        tifffile.imwrite(path, pixels_HWC, photometric="minisblack", planarconfig="contig")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", SENSORS)
def test_a_sensors_chips_are_learned_exported_served_and_shown(
    name: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    base = replace(stripes.ONE_FROZEN, precisions=PRECISIONS, members=(replace(stripes.FROZEN, epochs=8),))
    weights = networks.source(tmp_path_factory.getbasetemp()).weights
    source = Source(data=write_chips(tmp_path / "data", SENSORS[name]), weights=weights)
    run = Run.start(tmp_path / "run", with_sensor(base, name), source)
    dataset = prepare(run)
    for stage in (fit, predict, tune, evaluate):
        stage(run)
    bundle = export(run, name="painted", version="1")
    spec = bundle.manifest.input
    assert (spec.sensor, spec.bands, spec.dtype) == (name, SENSORS[name].bands, SENSORS[name].dtype)
    for precision in PRECISIONS:
        Ensemble(bundle, "cpu", precision).self_test()

    files = sorted((source.data / "chips").iterdir())[:4]
    chips_BHWC = np.stack([decode_chip(file.read_bytes(), spec) for file in files])
    np.testing.assert_array_equal(chips_BHWC[0], dataset.chips_NHWC[dataset.names.index(files[0].stem)])
    expected = [
        [label for label, there in zip(bundle.label_names, verdict.predicted, strict=True) if there]
        for verdict in Ensemble(bundle, "cpu", "int8").vote(chips_BHWC)
    ]
    with serving(Settings(bundle=bundle.folder, device="cpu", precision="int8")) as client:
        form = [("chip", (file.name, file.read_bytes(), "image/tiff")) for file in files]
        answer = client.post("/predict?evidence=true&members=true", files=form).raise_for_status().json()
        assert [found["labels"] for found in answer["predictions"]] == expected
        shown = client.post("/preview", content=files[0].read_bytes(), headers={"content-type": "image/tiff"})
        assert shown.headers["content-type"] == "image/png"
        if CHROMIUM:
            see_on_the_page(str(client.base_url), dict(zip(files, expected, strict=True)))


def see_on_the_page(address: str, expected: dict[Path, list[str]]) -> None:
    """Drop files onto the page and wait for the labels of each, as a person would."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        page = browser.new_page()
        page.goto(address)
        page.locator("#model:not(:empty)").wait_for()
        drop(page, *(upload(file.name, file.read_bytes()) for file in expected))
        finished(page, len(expected))
        for file, labels in expected.items():
            page.get_by_role("option", name=file.name).click()
            expect(page.locator("#picture[src^=blob]")).to_be_visible()
            expect(page.locator("#tags li")).to_have_text(labels)
        browser.close()
