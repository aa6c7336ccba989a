"""Shape suffixes: A architectures, N chips, L labels."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from service.contract.decision import Decision
from service.contract.manifest import LabelScore, Scores
from tests.kit import tiny
from training.config.schema import DecisionConfig
from training.data.predictions import OutOfFold, read_predictions, write_predictions
from training.decision.rule import read_voting, tune_voting, write_voting
from training.evaluation.evaluate import read_decisions, read_scores, write_decisions, write_scores
from training.run.folder import Run, Source


@pytest.fixture
def empty(tmp_path: Path) -> Run:
    return Run(folder=tmp_path, config=tiny.CONFIG, source=Source(data=tmp_path))


def test_predictions_come_back_bit_for_bit(empty: Run) -> None:
    random = np.random.default_rng(0)
    speaks_AL = np.array([[True, False, True], [True, True, False]])
    found = OutOfFold(
        random.random((2, 9, 3), np.float32), random.random((9, 3)) < 0.5, random.integers(0, 4, 9), speaks_AL
    )
    write_predictions(empty, found)
    again = read_predictions(empty)
    for name in ("probs_ANL", "targets_NL", "folds_N", "speaks_AL"):
        np.testing.assert_array_equal(getattr(again, name), getattr(found, name))
        assert getattr(again, name).dtype == getattr(found, name).dtype


@pytest.mark.parametrize("rule", ["vote", "blend", "expected-f"])
def test_the_rule_comes_back_bit_for_bit(empty: Run, rule: Literal["vote", "blend", "expected-f"]) -> None:
    random = np.random.default_rng(0)
    found = OutOfFold(random.random((2, 90, 3), np.float32), random.random((90, 3)) < 0.5, np.arange(90) % 3)
    config = replace(tiny.CONFIG, decision=DecisionConfig(rule=rule, cooccurrence=True))
    voting = tune_voting(found, config)
    write_voting(empty, voting)
    assert read_voting(empty) == voting
    for again, before in zip(read_voting(empty).decide(found), voting.decide(found), strict=True):
        np.testing.assert_array_equal(again, before)


def test_decisions_come_back(empty: Run) -> None:
    random = np.random.default_rng(0)
    decision = Decision(random.random((9, 3)) < 0.5, np.zeros((9, 3), np.int64), random.random((9, 3)))
    write_decisions(empty, decision)
    labels_NL, probs_NL = read_decisions(empty)
    np.testing.assert_array_equal(labels_NL, decision.labels_BL)
    np.testing.assert_array_equal(probs_NL, decision.probabilities_BL)


def test_scores_come_back(empty: Run) -> None:
    row = LabelScore(label="a", positives=0, precision=0, recall=0, f2=0, average_precision=None)
    scores = Scores(
        fitting="in-sample",
        chips=3,
        sample_f2=0.5,
        macro_f2=0.25,
        mean_average_precision=1 / 3,
        group_f2={"common": 0.25},
        labels=(row,),
    )
    write_scores(empty, {"in-sample": scores})
    assert read_scores(empty) == {"in-sample": scores}


def test_a_missing_result_names_its_stage(empty: Run) -> None:
    for read, stage in (
        (read_predictions, "predict"),
        (read_voting, "tune"),
        (read_scores, "evaluate"),
        (read_decisions, "evaluate"),
    ):
        with pytest.raises(ValueError, match=f"not there; run `chipvote-train {stage}"):
            read(empty)
