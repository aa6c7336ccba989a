"""Shape suffixes: M members, N chips, L labels."""

import csv
from pathlib import Path

import numpy as np
import pytest

from service.contract.bundle import Bundle
from service.engine.ensemble import Ensemble
from tests.kit import stripes
from training.data.dataset import Dataset
from training.data.labels import multi_hot
from training.data.tables.forms import read_tags
from training.evaluation.metrics import measure
from training.evaluation.score import score
from training.run.folder import Source


def test_a_bundle_is_scored_by_the_label_sets_the_service_gives(
    bundle: Bundle, dataset: Dataset, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    source, out = stripes.source(tmp_path_factory.getbasetemp()), tmp_path / "labels.csv"
    scores = score(bundle, source, "float32", out)
    ensemble = Ensemble(bundle, "cpu", "float32")
    votes = ensemble.vote(np.array(dataset.chips_NHWC))
    labels_NL = np.array([vote.predicted for vote in votes])
    probs_NL = np.array([vote.probabilities for vote in votes], np.float32)
    expected = measure(
        labels_NL,
        probs_NL,
        dataset.targets_NL,
        stripes.LABELS,
        ["common"] * len(stripes.LABELS),
        fitting="in-sample",
    )
    assert scores.fitting == "in-sample"  # these are the very chips it was trained on
    assert scores.sample_f2 == pytest.approx(expected.sample_f2)
    assert scores.mean_average_precision == pytest.approx(expected.mean_average_precision, abs=1e-3)
    with out.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["image_name"] for row in rows] == dataset.names
    np.testing.assert_array_equal(multi_hot([row["tags"].split() for row in rows], stripes.LABELS), labels_NL)
    assert read_tags(out).names == dataset.names


def test_other_chips_are_held_out_and_may_lack_labels(bundle: Bundle, tmp_path: Path) -> None:
    data = stripes.write_data(tmp_path / "data", 8)
    stripes.write_tags(data / "labels.csv", {f"chip_{index}": ["red"] for index in (1, 3, 5)})
    scores = score(bundle, Source(data=data), "int8")
    assert (scores.fitting, scores.chips) == ("held-out", 3)
    assert [row.positives for row in scores.labels] == [0, 0, 0, 3]


def test_a_tag_that_is_no_label_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    data = stripes.write_data(tmp_path / "data", 4)
    stripes.write_tags(data / "labels.csv", {"chip_0": ["red", "purple"], "chip_1": ["mauve"]})
    with pytest.raises(ValueError, match="the bundle has no label mauve, purple"):
        score(bundle, Source(data=data), "int8")
