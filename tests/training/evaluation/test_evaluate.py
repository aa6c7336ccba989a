"""Shape suffixes: N chips, L labels."""

from pathlib import Path

import numpy as np
import pytest

from service.contract.manifest import Scores
from tests.kit import stripes
from training.data.out_of_fold import read_predictions
from training.decision.rule import cross_fitted, read_rule
from training.evaluation.bootstrap import intervals
from training.evaluation.evaluate import evaluate, read_decisions, read_scores
from training.evaluation.metrics import measure
from training.run.folder import Run


def without_intervals(scores: Scores) -> Scores:
    facts = scores.model_dump()
    parts = [facts, *facts["labels"]]
    facts, *facts["labels"] = ({k: v for k, v in part.items() if "_interval" not in k} for part in parts)
    return Scores.model_validate(facts)


def test_both_scores_are_written_and_the_cross_fitted_one_is_the_headline(
    evaluated: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "training")
    run = stripes.copy_of(evaluated, tmp_path / "run")
    (run.folder / "evaluation.json").unlink()
    headline = evaluate(run)
    assert "cross-fitted on 64 chips" in caplog.text
    found = read_predictions(run)
    mean_NL = found.probs_ANL.mean(axis=0, dtype=np.float64)
    decisions = {"cross-fitted": cross_fitted(found, run.config), "in-sample": read_rule(run).decide(found)}
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
            stripes.LABELS,
            ["common"] * len(stripes.LABELS),
            fitting=scores[fitting].fitting,
        )
        assert without_intervals(scores[fitting]) == expected
        assert scores[fitting].fitting == fitting


def test_the_headline_has_intervals_with_the_runs_seed(evaluated: Run) -> None:
    found, scores = read_predictions(evaluated), read_scores(evaluated)
    decision = cross_fitted(found, evaluated.config)
    expected = intervals(
        decision.labels_BL,
        decision.probabilities_BL,
        found.targets_NL,
        ["common"] * len(stripes.LABELS),
        evaluated.config.seed,
    )
    headline = scores["cross-fitted"]
    assert headline.sample_f2_interval == expected.sample_f2
    assert headline.macro_f2_interval == expected.macro_f2
    assert headline.mean_average_precision_interval == expected.mean_average_precision
    assert headline.group_f2_intervals == expected.group_f2
    assert [row.f2_interval for row in headline.labels] == expected.f2
    assert [row.average_precision_interval for row in headline.labels] == expected.average_precision
    assert without_intervals(scores["in-sample"]) == scores["in-sample"]
