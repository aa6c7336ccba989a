"""The decision: a rule of `service/contract/rules.py`, tuned on out-of-fold probabilities.

Here a rule's members are architectures. All fold networks of an architecture share its row:
each chip was scored by the one that had not seen it, and pooling the folds gives a rare label
five times the examples. `for_members` gives every fold network its row.

Shape suffixes: A architectures, N chips, L labels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter

from service.contract.decision import COEFFICIENT_GRID, Decision, strict_majority, to_grid
from service.contract.rules import Blend, ExpectedF, Rule, Vote
from training.config.schema import RunConfig
from training.data.out_of_fold import OutOfFold
from training.decision.blend import fit_blend, unseen_scores
from training.decision.calibration import calibrate
from training.decision.cooccurrence import find_cooccurrence
from training.decision.member_weights import tune_weights
from training.decision.thresholds import tune_thresholds
from training.run.files import undamaged, write_json
from training.run.folder import DECISION, Run

T = TypeVar("T")
_RULE: TypeAdapter[Rule] = TypeAdapter(Rule)


@dataclass(frozen=True)
class TunedRule:
    """A tuned rule whose members are architectures."""

    rule: Rule

    def decide(self, found: OutOfFold) -> Decision:
        """Return label sets, votes and probabilities, each (N,L)."""
        return self.rule.decider().decide(found.probs_ANL)

    def labels(self, found: OutOfFold) -> npt.NDArray[np.bool_]:
        """Return the label sets (N,L)."""
        return self.decide(found).labels_BL

    def for_members(self, folds: int) -> Rule:
        """Return the rule with `folds` members in a row for every architecture, all alike."""
        match self.rule:
            case Blend(coefficients=coefficients):
                shared_ALL = np.array(coefficients) / folds
                return self.rule.model_copy(update={"coefficients": _repeat(_nested(shared_ALL), folds)})
            case Vote(thresholds=thresholds, weights=weights):
                repeated = {"thresholds": _repeat(thresholds, folds), "weights": _repeat(weights, folds)}
                quorum_L = strict_majority(np.array(weights).sum(axis=0) * folds)
                return self.rule.model_copy(update={**repeated, "quorum": tuple(quorum_L.tolist())})
            case ExpectedF(weights=weights):
                return self.rule.model_copy(update={"weights": _repeat(weights, folds)})


def tune_rule(found: OutOfFold, config: RunConfig) -> TunedRule:
    """Fit the configured rule, with all that belongs to it, to these chips alone."""
    decision = config.decision
    fitted = {"vote": _vote, "blend": _blend, "expected-f": _expected_f}[decision.rule](found, config)
    if decision.cooccurrence:
        fitted = fitted.model_copy(update={"cooccurrence": find_cooccurrence(found.targets_NL)})
    fitted.check_shape(*found.label_mask_AL.shape)
    return TunedRule(fitted)


def cross_fitted(found: OutOfFold, config: RunConfig) -> Decision:
    """Decide each fold with a rule fitted to the others; all arrays are (N,L)."""
    shape = found.targets_NL.shape
    whole = Decision(np.empty(shape, np.bool_), np.empty(shape, np.int64), np.empty(shape))
    for fold in np.unique(found.folds_N):
        held_out_N = found.folds_N == fold
        tuned = tune_rule(found.part(~held_out_N), config)
        for array_NL, part_NL in zip(whole, tuned.decide(found.part(held_out_N)), strict=True):
            array_NL[held_out_N] = part_NL
    return whole


def _vote(found: OutOfFold, config: RunConfig) -> Rule:
    thresholds_AL = tune_thresholds(
        found.probs_ANL, found.targets_NL, found.folds_N, config.decision, found.label_mask_AL
    )
    weights_AL = tune_weights(
        found.probs_ANL, thresholds_AL, found.targets_NL, found.label_mask_AL, config.decision
    )
    return Vote(
        thresholds=_nested(thresholds_AL),
        weights=_nested(weights_AL),
        quorum=_nested(strict_majority(weights_AL.sum(axis=0))),
    )


def _blend(found: OutOfFold, config: RunConfig) -> Rule:
    linear = fit_blend(found.probs_ANL, found.targets_NL, found.label_mask_AL)
    # Thresholds must not trust scores more because the regression has seen the chip.
    scores_NL = unseen_scores(found.probs_ANL, found.targets_NL, found.label_mask_AL, config.seed)
    thresholds_1L = tune_thresholds(scores_NL[None], found.targets_NL, found.folds_N, config.decision)
    return Blend(
        coefficients=_nested(to_grid(linear.coefficients_ALL, COEFFICIENT_GRID)),
        intercepts=_nested(to_grid(linear.intercepts_L, COEFFICIENT_GRID)),
        thresholds=_nested(thresholds_1L[0]),
    )


def _expected_f(found: OutOfFold, config: RunConfig) -> Rule:
    weights_AL = found.label_mask_AL.astype(np.int64)
    mean_NL = (found.probs_ANL * (weights_AL / weights_AL.sum(axis=0))[:, None]).sum(axis=0)
    return ExpectedF(
        beta=config.decision.beta,
        weights=_nested(weights_AL),
        knots=calibrate(mean_NL, found.targets_NL, config.seed),
    )


def _nested(array: npt.NDArray[np.generic]) -> tuple[Any, ...]:
    return tuple(map(_nested, array)) if array.ndim > 1 else tuple(array.tolist())


def _repeat(rows: Sequence[T], times: int) -> tuple[T, ...]:
    return tuple(row for row in rows for _ in range(times))


def write_rule(run: Run, tuned: TunedRule) -> None:
    """Keep the result of `tune`; numbers survive JSON exactly."""
    write_json(run.folder / DECISION, tuned.rule.model_dump(mode="json"))


def read_rule(run: Run) -> TunedRule:
    """Return the result of `tune`."""
    with undamaged(run.need(DECISION, "tune")) as path:
        return TunedRule(_RULE.validate_json(path.read_bytes()))
