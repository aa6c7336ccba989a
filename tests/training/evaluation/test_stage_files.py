"""Shape suffixes: A architectures, N chips, L labels."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from service.contract.decision import Decision
from service.contract.manifest import LabelScore, Scores
from tests.kit import stripes
from training.config.schema import DecisionConfig
from training.data.out_of_fold import OutOfFold, read_predictions, write_predictions
from training.decision.rule import read_rule, tune_rule, write_rule
from training.evaluation.evaluate import read_decisions, read_scores, write_decisions, write_scores
from training.run.folder import Run, Source


@pytest.fixture
def empty(tmp_path: Path) -> Run:
    return Run(folder=tmp_path, config=stripes.CONFIG, source=Source(data=tmp_path))


def test_predictions_come_back_bit_for_bit(empty: Run) -> None:
    random = np.random.default_rng(0)
    label_mask_AL = np.array([[True, False, True], [True, True, False]])
    found = OutOfFold(
        random.random((2, 9, 3), np.float32),
        random.random((9, 3)) < 0.5,
        random.integers(0, 4, 9),
        label_mask_AL,
    )
    write_predictions(empty, found)
    again = read_predictions(empty)
    for name in ("probs_ANL", "targets_NL", "folds_N", "label_mask_AL"):
        np.testing.assert_array_equal(getattr(again, name), getattr(found, name))
        assert getattr(again, name).dtype == getattr(found, name).dtype


def test_predictions_of_finished_runs_are_read_by_the_names_they_were_kept_under(empty: Run) -> None:
    probs_ANL, targets_NL = np.ones((2, 9, 3), np.float32), np.ones((9, 3), np.bool_)
    arrays: dict[str, Any] = {
        "probs_ANL": probs_ANL,
        "targets_NL": targets_NL,
        "folds_N": np.zeros(9, np.int64),
    }
    np.savez(empty.folder / "out_of_fold.npz", **arrays)  # before members could be silent
    assert read_predictions(empty).label_mask_AL.tolist() == [[True] * 3] * 2
    speaks_AL = np.array([[True, False, True], [True, True, False]])
    np.savez(empty.folder / "out_of_fold.npz", **arrays, speaks_AL=speaks_AL)
    np.testing.assert_array_equal(read_predictions(empty).label_mask_AL, speaks_AL)


@pytest.mark.parametrize("rule", ["vote", "blend", "expected-f"])
def test_the_rule_comes_back_bit_for_bit(empty: Run, rule: Literal["vote", "blend", "expected-f"]) -> None:
    random = np.random.default_rng(0)
    found = OutOfFold(random.random((2, 90, 3), np.float32), random.random((90, 3)) < 0.5, np.arange(90) % 3)
    config = replace(stripes.CONFIG, decision=DecisionConfig(rule=rule, cooccurrence=True))
    tuned = tune_rule(found, config)
    write_rule(empty, tuned)
    assert read_rule(empty) == tuned
    for again, before in zip(read_rule(empty).decide(found), tuned.decide(found), strict=True):
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
        (read_rule, "tune"),
        (read_scores, "evaluate"),
        (read_decisions, "evaluate"),
    ):
        with pytest.raises(ValueError, match=f"not there; run `chipvote-train {stage}"):
            read(empty)
