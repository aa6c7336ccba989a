"""Shape suffixes: B chips, L labels."""

import json
from pathlib import Path

import numpy as np
import pytest

from service.contract.bundle import Bundle
from service.contract.rules import ExpectedF, Rule
from service.engine.ensemble import Ensemble
from tests.kit import stripes
from tests.kit.fakes import MAJORITY, MEMBERS, RED, Chips, Float, make_bundle, picture
from training.data.dataset import Dataset
from training.data.tables.forms import read_tags
from training.evaluation.inference import Predictor, choose_precision, tags_of, write_tags


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_answers_are_those_of_the_service(bundle: Bundle, dataset: Dataset, precision: str) -> None:
    chosen = choose_precision(bundle, precision)
    chips_BHWC = np.array(dataset.chips_NHWC[:37])  # no multiple of a batch
    answers = Predictor(bundle, chosen)(chips_BHWC)
    votes = Ensemble(bundle, "cpu", chosen).vote(chips_BHWC)
    np.testing.assert_array_equal(answers.labels_BL, [vote.predicted for vote in votes])
    expected = np.array([vote.probabilities for vote in votes])
    np.testing.assert_allclose(answers.probabilities_BL, expected, atol=1e-3)


def test_label_sets_alone_are_the_same_from_fewer_runs(
    bundle: Bundle, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chips_BHWC = np.array(dataset.chips_NHWC[:37])
    predictor = Predictor(bundle, "float32")
    np.testing.assert_array_equal(predictor.label_sets(chips_BHWC), predictor(chips_BHWC).labels_BL)

    def runs(rule: Rule) -> list[int]:
        """Return how many chips of one colour each member was given."""
        predictor = Predictor(make_bundle(tmp_path / rule.rule, rule=rule), "float32")
        given, run = [0] * MEMBERS, predictor._run

        def counted(member: int, chips_BHWC: Chips) -> Float:
            given[member] += len(chips_BHWC)
            return run(member, chips_BHWC)

        monkeypatch.setattr(predictor, "_run", counted)
        reds_BHWC = np.stack([np.asarray(picture(RED))] * 20)
        np.testing.assert_array_equal(predictor.label_sets(reds_BHWC), predictor(reds_BHWC).labels_BL)
        return [count - 20 for count in given]  # without those of the whole answer

    assert runs(MAJORITY) == [20, 20, 0]
    knots = (((0.0, 0.0), (1.0, 1.0)),) * 4
    assert runs(ExpectedF(beta=2.0, weights=((1,) * 4,) * MEMBERS, knots=knots)) == [20, 20, 20]


def test_the_precision_is_the_asked_one_or_that_of_a_cpu(bundle: Bundle, tmp_path: Path) -> None:
    assert choose_precision(bundle, None) == "int8"
    assert choose_precision(bundle, "float32") == "float32"
    only = make_bundle(tmp_path / "only")
    assert choose_precision(only, None) == "float32"
    with pytest.raises(ValueError, match="has float32, not int8"):
        choose_precision(only, "int8")


def test_tags_are_written_as_the_trainer_reads_them(tmp_path: Path) -> None:
    labels_BL = np.array([[1, 0, 1, 0], [0, 0, 0, 0], [0, 1, 1, 1]], np.bool_)
    rows = tags_of(labels_BL, stripes.LABELS)
    assert rows == [["blue", "green"], [], ["dark", "green", "red"]]
    path = tmp_path / "tags.csv"
    write_tags(path, zip("abc", rows, strict=True))
    assert path.read_bytes() == b"image_name,tags\na,blue green\nb,\nc,dark green red\n"
    read = read_tags(path)
    assert (read.names, read.rows()) == (["a", "b", "c"], rows)


def test_labels_of_any_words_are_read_again_as_they_were_written(tmp_path: Path) -> None:
    odd = ["bare soil", "Beaches, dunes; sands", "wood/shrub", "(unclear) [x]", '"quoted"', "'one'", "a & b"]
    source, path = tmp_path / "source.json", tmp_path / "tags.csv"
    source.write_text(json.dumps({"a": odd, "b": odd[:2], "c": []}))
    first = read_tags(source)
    write_tags(path, zip(first.names, first.rows(), strict=True))
    second = read_tags(path)
    assert (second.names, second.labels, second.rows()) == (first.names, first.labels, first.rows())
