from dataclasses import replace
from pathlib import Path

import pytest

from service.contract.rules import Cooccurrence, Vote
from tests.kit import stripes
from training.config.schema import DecisionConfig
from training.data.out_of_fold import read_predictions, write_predictions
from training.decision.fbeta import sample_fbeta
from training.decision.rule import read_rule, tune_rule
from training.decision.tune import tune
from training.run.folder import Run


def test_the_rule_of_a_run_is_tuned_on_its_predictions(
    evaluated: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "training")
    run = stripes.copy_of(evaluated, tmp_path / "run")
    (run.folder / "decision.json").unlink()
    tune(run)
    found, tuned = read_predictions(run), read_rule(run)
    assert tuned == tune_rule(found, run.config)
    assert isinstance(tuned.rule, Vote)
    assert tuned.rule.quorum == (2,) * len(stripes.LABELS)
    score = sample_fbeta(tuned.labels(found), found.targets_NL).mean()
    assert f"vote tuned; F2 {score:.4f} on the chips it was tuned on" in caplog.text
    assert "exactly one of" not in caplog.text


def test_what_never_occurs_together_is_told(
    evaluated: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "training")
    run = stripes.copy_of(evaluated, tmp_path / "run")
    decision = DecisionConfig(shrinkage=1.0, cooccurrence=True)
    run = replace(run, config=replace(run.config, decision=decision))
    found = read_predictions(run)
    found.targets_NL[:, 0] = ~found.targets_NL[:, 3]  # blue where it is not red
    write_predictions(run, found)
    tune(run)
    assert read_rule(run).rule.cooccurrence == Cooccurrence(exclusive=((0, 3),))
    assert "exactly one of: blue, red. Alone: –" in caplog.text
