"""Shape suffixes: A architectures, N chips, L labels."""

from pathlib import Path

import numpy as np
import pytest

from service.bundle import LabelScore, Scores
from tests.training import tiny
from training.results import (
    read_predictions,
    read_scores,
    read_voting,
    write_predictions,
    write_scores,
    write_voting,
)
from training.voting import OutOfFold, Voting
from training.workspace import Run, Source


@pytest.fixture
def empty(tmp_path: Path) -> Run:
    return Run(folder=tmp_path, config=tiny.CONFIG, source=Source(data=tmp_path))


def test_predictions_come_back_bit_for_bit(empty: Run) -> None:
    random = np.random.default_rng(0)
    found = OutOfFold(
        random.random((2, 9, 3), np.float32), random.random((9, 3)) < 0.5, random.integers(0, 4, 9)
    )
    write_predictions(empty, found)
    again = read_predictions(empty)
    for name in ("probs_ANL", "targets_NL", "folds_N"):
        np.testing.assert_array_equal(getattr(again, name), getattr(found, name))
        assert getattr(again, name).dtype == getattr(found, name).dtype


def test_thresholds_come_back_bit_for_bit(empty: Run) -> None:
    voting = Voting(np.random.default_rng(0).random((3, 50), np.float32), 2)
    write_voting(empty, voting)
    again = read_voting(empty)
    assert again.thresholds_AL.dtype == np.float32
    np.testing.assert_array_equal(again.thresholds_AL, voting.thresholds_AL)
    assert again.quorum == 2


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
    for read, stage in ((read_predictions, "predict"), (read_voting, "tune"), (read_scores, "evaluate")):
        with pytest.raises(ValueError, match=f"not there; run `chipvote-train {stage}"):
            read(empty)
