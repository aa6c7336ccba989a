"""Stage 3: the rule that decides, from out-of-fold probabilities only."""

import logging

from training.data.dataset import open_dataset
from training.data.out_of_fold import read_predictions
from training.decision.fbeta import sample_fbeta
from training.decision.rule import tune_rule, write_rule
from training.run.folder import Run

log = logging.getLogger(__name__)


def tune(run: Run) -> None:
    """Write the tuned rule."""
    found = read_predictions(run)
    tuned = tune_rule(found, run.config)
    write_rule(run, tuned)
    score = sample_fbeta(tuned.labels(found), found.targets_NL, run.config.decision.beta).mean()
    log.info(
        "%s tuned; F%g %.4f on the chips it was tuned on",
        tuned.rule.rule,
        run.config.decision.beta,
        score,
    )
    limits = tuned.rule.cooccurrence
    if limits.exclusive or limits.alone:
        names = open_dataset(run).labels
        groups = "; ".join(", ".join(names[column] for column in group) for group in limits.exclusive)
        alone = ", ".join(names[column] for column in limits.alone)
        log.info("exactly one of: %s. Alone: %s", groups or "–", alone or "–")
