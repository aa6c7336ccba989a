"""The default bundle on real chips: served as evaluated, stopped early or not.

Every 16th chip of the data it was trained on; with CHIPVOTE_EVERY_CHIP=1 all of them, which take a
quarter of an hour on two idle cores without VNNI. Skipped where the chips are not at hand.

Shape suffixes: B chips, H height, W width, C bands.
"""

import csv
import os
from pathlib import Path

import httpx2
import numpy as np
import pytest

pytest.importorskip("sklearn", reason="the offline evaluation needs scikit-learn")

from service.contract.bundle import Bundle, load
from service.contract.chips.decode import decode_chip
from service.contract.manifest import Precision
from service.engine.ensemble import Ensemble
from tests.kit.serving import DEFAULT_BUNDLE
from training.data.tables.forms import find_tags
from training.evaluation.score import score
from training.run.folder import Source

pytestmark = pytest.mark.slow

BATCH = 32
STRIDE = 1 if os.environ.get("CHIPVOTE_EVERY_CHIP") else 16

PRECISION: Precision = "int8"  # what the service takes of the default bundle

LabelSets = dict[str, set[str]]  # by the name of the chip


@pytest.fixture(scope="module")
def data(shared_data: Path) -> Path:
    folder = shared_data / "ucmerced"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    return folder


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return load(DEFAULT_BUNDLE)


@pytest.fixture(scope="module")
def evaluated(data: Path, bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> LabelSets:
    """The chips' label sets, by the offline evaluation."""
    folder = tmp_path_factory.mktemp("evaluated")
    table, tags = folder / "labels.csv", folder / "tags.csv"
    header, *rows = find_tags(Source(data=data)).read_text().splitlines()
    tags.write_text("\n".join([header, *rows[::STRIDE]]))
    score(bundle, Source(data=data, tags=tags), PRECISION, table)
    with table.open(newline="") as stream:
        return {row["image_name"]: set(row["tags"].split()) for row in csv.DictReader(stream)}


def chips(data: Path, names: list[str]) -> list[Path]:
    return [data / "chips" / f"{name}.jpg" for name in names]


@pytest.mark.parametrize("chips_per_request", [1, 64])
def test_the_service_sets_the_labels_of_the_evaluation(
    default_client: httpx2.Client, data: Path, evaluated: LabelSets, chips_per_request: int
) -> None:
    names, served = list(evaluated), LabelSets()
    for start in range(0, len(names), chips_per_request):
        files = chips(data, names[start : start + chips_per_request])
        form = [("chip", (file.name, file.read_bytes(), "image/jpeg")) for file in files]
        answer = default_client.post("/predict", files=form).raise_for_status().json()
        served |= {Path(found["filename"]).stem: set(found["labels"]) for found in answer["predictions"]}
    assert [name for name in names if served[name] != evaluated[name]] == []


def test_stopping_early_changes_no_label_set(data: Path, bundle: Bundle, evaluated: LabelSets) -> None:
    ensemble = Ensemble(bundle, "cpu", PRECISION, early_exit=True)
    names, found = list(evaluated), LabelSets()
    for start in range(0, len(names), BATCH):
        part = names[start : start + BATCH]
        files = chips(data, part)
        chips_BHWC = np.stack([decode_chip(file.read_bytes(), bundle.manifest.input) for file in files])
        for name, vote in zip(part, ensemble.vote(chips_BHWC), strict=True):
            labels = zip(bundle.label_names, vote.predicted, strict=True)
            found[name] = {label for label, there in labels if there}
    assert [name for name in names if found[name] != evaluated[name]] == []
