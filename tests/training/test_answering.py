"""Shape suffixes: B chips, L labels."""

from pathlib import Path

import numpy as np
import pytest

from service.bundle import Bundle
from service.ensemble import Ensemble
from tests.fakes import make_bundle
from tests.training import tiny
from training.answering import Answerer, choose_precision, tags_of, write_tags
from training.dataset import Dataset
from training.labels import read_tags


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_answers_are_those_of_the_service(tiny_bundle: Bundle, tiny_dataset: Dataset, precision: str) -> None:
    chosen = choose_precision(tiny_bundle, precision)
    chips_BHWC = np.array(tiny_dataset.chips_NHWC[:37])  # no multiple of a batch
    answers = Answerer(tiny_bundle, chosen)(chips_BHWC)
    votes = Ensemble(tiny_bundle, "cpu", chosen).vote(chips_BHWC)
    np.testing.assert_array_equal(answers.labels_BL, [vote.predicted for vote in votes])
    expected = np.array([vote.probabilities for vote in votes])
    np.testing.assert_allclose(answers.probabilities_BL, expected, atol=1e-3)


def test_the_precision_is_the_asked_one_or_that_of_a_cpu(tiny_bundle: Bundle, tmp_path: Path) -> None:
    assert choose_precision(tiny_bundle, None) == "int8"
    assert choose_precision(tiny_bundle, "float16") == "float16"
    only = make_bundle(tmp_path / "only")
    assert choose_precision(only, None) == "float32"
    with pytest.raises(ValueError, match="has float32, not int8"):
        choose_precision(only, "int8")


def test_tags_are_written_as_the_trainer_reads_them(tmp_path: Path) -> None:
    labels_BL = np.array([[1, 0, 1, 0], [0, 0, 0, 0], [0, 1, 1, 1]], np.bool_)
    rows = tags_of(labels_BL, tiny.LABELS)
    assert rows == [["blue", "green"], [], ["dark", "green", "red"]]
    path = tmp_path / "tags.csv"
    write_tags(path, zip("abc", rows, strict=True))
    assert path.read_bytes() == b"image_name,tags\na,blue green\nb,\nc,dark green red\n"
    read = read_tags(path)
    assert (read.names, read.rows()) == (["a", "b", "c"], rows)
