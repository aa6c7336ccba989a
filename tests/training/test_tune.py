from pathlib import Path

import numpy as np
import pytest

from tests.training import tiny
from training.results import read_predictions, read_voting
from training.thresholds import sample_fbeta
from training.tune import tune
from training.voting import tune_voting
from training.workspace import Run


def test_the_thresholds_of_a_run_are_tuned_on_its_predictions(
    evaluated: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "training")
    run = tiny.copy_of(evaluated, tmp_path / "run")
    (run.folder / "thresholds.json").unlink()
    tune(run)
    found, voting = read_predictions(run), read_voting(run)
    expected = tune_voting(found, run.config)
    np.testing.assert_array_equal(voting.thresholds_AL, expected.thresholds_AL)
    assert voting.quorum == expected.quorum == 2
    score = sample_fbeta(voting.labels(found), found.targets_NL).mean()
    assert f"F2 {score:.4f} on the chips they were tuned on" in caplog.text
