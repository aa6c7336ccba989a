"""Four bands from end to end: raw TIFFs → a run of every way to use the infrared → the service.

A chip shows stripes on noise. Three of its labels are a stripe's colour; `growth` is a stripe
of the near infrared alone, which colours cannot tell from none.

Shape suffixes: N chips, L labels, H height, W width, C bands.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from sklearn.metrics import average_precision_score

from service.contract.bundle import Bundle
from service.contract.chips.bands import RGB
from service.contract.manifest import Precision
from service.contract.sensors import SENSORS
from service.settings import Settings
from tests.kit import networks, stripes
from tests.kit.serving import serving
from tests.system.test_parity import PRECISIONS, assert_same, offline
from tests.training.data.test_alignment import ground
from tests.training.data.test_audit import write_pair
from training.config.schema import RunConfig
from training.data import dataset
from training.data.audit import audit
from training.data.out_of_fold import read_predictions
from training.decision import tune
from training.evaluation import evaluate
from training.export import export
from training.fit import fit, predict
from training.run.folder import Run, Source

PLANET_BANDS = SENSORS["planet-contest"].bands
RGBN = SENSORS["naip"].bands

GROWTH = "growth"
BAND_OF = {"blue": 0, "green": 1, "red": 2, GROWTH: PLANET_BANDS.index("nir")}
LABELS = sorted(BAND_OF)
EARLY = replace(stripes.WHOLE, name="early", bands=RGBN)
INDICES = replace(stripes.FROZEN, name="indices", bands=RGBN, indices=("ndvi", "ndwi"))
LATE = replace(EARLY, name="late", indices=("ndvi", "ndwi"), fusion="late")
FOUR_BANDS = replace(stripes.CONFIG, members=(EARLY, INDICES, LATE), bands=PLANET_BANDS, dtype="uint16")
COLOURS_ONLY = replace(stripes.CONFIG, members=(replace(EARLY, name="colours", bands=RGB),))


def tags_of(index: int) -> list[str]:
    """Give every set of labels its turn."""
    return [label for bit, label in enumerate(LABELS) if index >> bit & 1]


def write_chip(path: Path, tags: Sequence[str], seed: int) -> None:
    """Draw a chip with these labels, in raw values that need more than eight bits."""
    random = np.random.default_rng(seed)
    pixels_HWC = random.integers(3500, 4500, (stripes.SIZE_PX, stripes.SIZE_PX, 4), dtype=np.uint16)
    places = random.permutation(len(BAND_OF)) * (stripes.SIZE_PX // len(BAND_OF))
    for start, label in zip(places, tags, strict=False):
        pixels_HWC[start : start + stripes.SIZE_PX // len(BAND_OF), :, BAND_OF[label]] += 4000
    tifffile.imwrite(path, pixels_HWC, photometric="minisblack", planarconfig="contig")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    data = tmp_path_factory.mktemp("infrared") / "data"
    (data / "chips").mkdir(parents=True)
    tags = {f"chip_{index}": tags_of(index) for index in range(stripes.CHIPS)}
    stripes.write_tags(data / "labels.csv", tags)
    for seed, (name, row) in enumerate(tags.items()):
        write_chip(data / "chips" / f"{name}.tif", row, seed)
    return Source(data=data, weights=networks.write_weights(data.parent / "weights"))


def predicted(folder: Path, config: RunConfig, source: Source) -> Run:
    run = Run.start(folder, config, source)
    dataset.prepare(run)
    fit.fit(run)
    predict.predict(run)
    return run


@pytest.fixture(scope="module")
def run(source: Source, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of all three members with every stage done but the export."""
    run = predicted(tmp_path_factory.mktemp("infrared") / "run", FOUR_BANDS, source)
    tune.tune(run)
    evaluate.evaluate(run)
    return run


@pytest.fixture(scope="module")
def bundle(run: Run) -> Bundle:
    return export.export(run, name="infrared", version="1")


def precision_of_growth(run: Run) -> list[float]:
    """Return each member's average precision for the infrared label, on chips it has not seen."""
    found = read_predictions(run)
    column = LABELS.index(GROWTH)
    truth_N = found.targets_NL[:, column]
    return [float(average_precision_score(truth_N, probs_NL[:, column])) for probs_NL in found.probs_ANL]


@pytest.mark.slow
def test_the_infrared_shows_what_colours_do_not(run: Run, source: Source, tmp_path: Path) -> None:
    (colours,) = precision_of_growth(predicted(tmp_path / "colours", COLOURS_ONLY, source))
    # Half of the chips have it, so guessing gives 0.5.
    assert colours < 0.65
    assert min(precision_of_growth(run)) > 0.75


@pytest.mark.slow
@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_service_answers_raw_chips_as_the_tuning_did(
    bundle: Bundle, source: Source, precision: Precision
) -> None:
    files = [source.data / "chips" / f"chip_{index}.tif" for index in range(16)]
    with serving(Settings(bundle=bundle.folder, device="cpu", precision=precision)) as http:
        answer = http.post(
            "/predict", files=[("chip", (f.name, f.read_bytes(), "image/tiff")) for f in files]
        )
    assert answer.status_code == 200
    assert_same(answer.json()["predictions"], offline(bundle, files, precision), LABELS)


@pytest.mark.slow
def test_the_service_refuses_a_picture_of_colours(bundle: Bundle, tmp_path: Path) -> None:
    Image.new("RGB", (stripes.SIZE_PX, stripes.SIZE_PX)).save(tmp_path / "chip.jpg")
    with serving(Settings(bundle=bundle.folder, device="cpu")) as http:
        answer = http.post(
            "/predict", content=(tmp_path / "chip.jpg").read_bytes(), headers={"content-type": "image/jpeg"}
        )
    assert answer.status_code == 422
    assert "this bundle needs TIFF chips of 4 bands of uint16" in answer.json()["detail"]


def test_chips_whose_labels_are_in_doubt_are_left_out(tmp_path: Path) -> None:
    """Labels belong to the JPEGs: what the audit lists is kept from a run on the TIFFs."""
    wide_HWC = ground(1, 16)
    for number in range(4):
        write_pair(tmp_path, f"same_{number}", ground(number + 10), ground(number + 10))
    write_pair(tmp_path, "shifted", wide_HWC[16:-16, 16:-16], wide_HWC[16:-16, 5:-27])
    write_pair(tmp_path, "other", ground(2), ground(3))
    audit(tmp_path / "tif", tmp_path / "jpg", tmp_path / "audit")
    names = [file.stem for file in sorted((tmp_path / "jpg").iterdir())]
    rows = {name: ["clear", "water"][: 1 + index % 2] for index, name in enumerate(names)}
    stripes.write_tags(tmp_path / "labels.csv", rows)
    source = Source(
        data=tmp_path,
        chips=tmp_path / "tif",
        weights=networks.write_weights(tmp_path / "weights"),
        exclude=tmp_path / "audit" / "exclude.csv",
    )
    run = Run.start(tmp_path / "run", FOUR_BANDS, source)
    found = dataset.prepare(run)
    assert found.names == [f"same_{number}" for number in range(4)]
    assert str(found.chips_NHWC.dtype) == "uint16"
    assert found.chips_NHWC.shape[-1] == len(PLANET_BANDS)
    left_out = (run.folder / "excluded.csv").read_text()
    assert "other,exclude.csv: different ground" in left_out
    assert "shifted: the JPEG lies on the TIFF" in left_out
