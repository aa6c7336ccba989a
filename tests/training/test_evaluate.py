"""Shape suffixes: N chips, L labels."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.training import tiny
from training.evaluate import evaluate
from training.results import read_decisions, read_predictions, read_scores, read_voting
from training.scores import measure
from training.voting import cross_fitted
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
    mean_NL = found.probs_ANL.mean(axis=0, dtype=np.float64)
    decisions = {"cross-fitted": cross_fitted(found, run.config), "in-sample": read_voting(run).decide(found)}
    scores = read_scores(run)
    assert scores.keys() == decisions.keys()
    assert scores["cross-fitted"] == headline
    labels_NL, probs_NL = read_decisions(run)
    np.testing.assert_array_equal(labels_NL, decisions["cross-fitted"].labels_BL)
    np.testing.assert_allclose(probs_NL, mean_NL, atol=1e-12)
    for fitting, decision in decisions.items():
        expected = measure(
            decision.labels_BL,
            mean_NL,
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
