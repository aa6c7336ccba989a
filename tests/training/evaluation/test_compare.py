from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.kit import stripes
from training.data.dataset import open_dataset
from training.data.out_of_fold import read_predictions, write_predictions
from training.decision.fbeta import sample_fbeta
from training.decision.rule import cross_fitted
from training.evaluation.compare import compare
from training.run.folder import Run


def test_a_run_is_no_better_than_itself(evaluated: Run) -> None:
    assert compare(evaluated, evaluated) == (0.0, 0.0, 0.0)


def test_the_difference_is_that_of_the_mean_f2_and_lies_in_its_interval(
    evaluated: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "training")
    perfect = stripes.copy_of(evaluated, tmp_path / "perfect")
    found = read_predictions(perfect)
    told_NL = found.targets_NL.astype(np.float32)
    write_predictions(perfect, replace(found, probs_ANL=np.stack([told_NL, told_NL])))
    difference = compare(evaluated, perfect)
    f2 = [
        sample_fbeta(cross_fitted(read_predictions(run), run.config).labels_BL, found.targets_NL).mean()
        for run in (evaluated, perfect)
    ]
    assert difference.mean == pytest.approx(f2[1] - f2[0])
    assert 0 < difference.low < difference.mean < difference.high
    back = compare(perfect, evaluated)
    assert back == pytest.approx((-difference.mean, -difference.high, -difference.low), abs=0.02)
    assert "decided;" in caplog.text


def test_a_decision_alone_can_be_compared(evaluated: Run) -> None:
    decision = replace(evaluated.config.decision, prior=0.9, shrinkage=1e12)
    assert (
        compare(evaluated, replace(evaluated, config=replace(evaluated.config, decision=decision))).mean < 0
    )


@pytest.mark.parametrize(("column", "reason"), [("chip_3", "other chips"), ("fold", "other folds")])
def test_runs_on_other_chips_or_folds_are_refused(
    evaluated: Run, tmp_path: Path, column: str, reason: str
) -> None:
    other = stripes.copy_of(evaluated, tmp_path / "other")
    if column == "fold":
        found = read_predictions(other)
        write_predictions(other, replace(found, folds_N=1 - found.folds_N))
    else:
        path = other.folder / "chips.csv"
        path.write_text(path.read_text().replace("chip_3,", "chip_x,"))
        assert open_dataset(other).names != open_dataset(evaluated).names
    with pytest.raises(ValueError, match=reason):
        compare(evaluated, other)
