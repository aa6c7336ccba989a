import json
from pathlib import Path

import pytest

from tests.training import tiny
from training.evaluate import evaluate
from training.results import read_predictions, read_scores, read_voting
from training.scores import measure
from training.voting import cross_fitted_labels
from training.workspace import Run


def test_both_scores_are_written_and_the_cross_fitted_one_is_the_headline(
    evaluated: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "training")
    run = tiny.copy_of(evaluated, tmp_path / "run")
    (run.folder / "evaluation.json").unlink()
    headline = evaluate(run)
    assert "cross-fitted on 64 chips" in caplog.text
    found = read_predictions(run)
    probs_NL = found.probs_ANL.mean(axis=0)
    labels = {
        "cross-fitted": cross_fitted_labels(found, run.config),
        "in-sample": read_voting(run).labels(found),
    }
    scores = read_scores(run)
    assert scores.keys() == labels.keys()
    assert scores["cross-fitted"] == headline
    for fitting, labels_NL in labels.items():
        expected = measure(
            labels_NL,
            probs_NL,
            found.targets_NL,
            tiny.LABELS,
            ["common"] * len(tiny.LABELS),
            fitting=scores[fitting].fitting,
        )
        assert scores[fitting] == expected
        assert scores[fitting].fitting == fitting


def test_the_tiny_ensemble_has_learned_its_colours(evaluated: Run) -> None:
    scores = json.loads((evaluated.folder / "evaluation.json").read_text())["cross-fitted"]
    assert scores["mean_average_precision"] > 0.75
