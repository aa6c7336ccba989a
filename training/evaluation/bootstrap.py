"""How far a score could have come out elsewhere: bootstrap intervals over chips.

Chips are drawn with replacement, networks and thresholds stay: the interval tells what other
chips of the same kind would change, not what another training run would. Chips of one group (see
`training/data/groups.py`) are drawn together: a copy tells nothing new.

Shape suffixes: R replicates, N chips, G groups of chips, L labels.

Source: Efron and Tibshirani 1993, "An Introduction to the Bootstrap", percentile interval.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from service.contract.manifest import Interval
from training.decision.fbeta import sample_fbeta

REPLICATES = 1000
CONFIDENCE = 0.95
BLOCK = 50  # replicates at a time: 40,000 chips take 8 MB

Labels = npt.NDArray[np.bool_]
Groups = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Intervals:
    """The interval of every score.

    None where no chip has the label. A group has no entry where no chip has any of its labels.
    """

    sample_f2: Interval
    macro_f2: Interval | None
    mean_average_precision: Interval | None
    group_f2: dict[str, Interval]
    f2: list[Interval | None]  # L
    average_precision: list[Interval | None]  # L


def intervals(
    predicted_NL: Labels,
    probs_NL: npt.NDArray[np.floating],
    targets_NL: Labels,
    groups: Sequence[str],
    seed: int,
    replicates: int = REPLICATES,
    drawn_with_N: Groups | None = None,
) -> Intervals:
    """Return 95 % intervals of the scores that `metrics.measure` gives.

    Args:
        predicted_NL: the label sets.
        probs_NL: the probabilities that average precision ranks by.
        targets_NL: the truth.
        groups: the columns' report groups.
        seed: of the draws; the same seed gives the same intervals.
        replicates: how many times the chips are drawn.
        drawn_with_N: each chip's group, 0..G-1; by default every chip is one.
    """
    per_chip_N = sample_fbeta(predicted_NL, targets_NL)
    counted_N3L = np.stack([predicted_NL & targets_NL, predicted_NL, targets_NL], axis=1).reshape(
        len(per_chip_N), -1
    )
    rankings = [_Ranking(*columns) for columns in zip(probs_NL.T, targets_NL.T, strict=True)]
    sample_R, f2_RL, average_RL = [], [], []
    for weights_RN in _resamples(len(per_chip_N), seed, replicates, drawn_with_N):
        sample_R.append(weights_RN @ per_chip_N / weights_RN.sum(axis=1))
        sums_R3L = (weights_RN @ counted_N3L).reshape(len(weights_RN), 3, -1)
        f2_RL.append(_f2(*np.moveaxis(sums_R3L, 1, 0)))
        average_RL.append(np.stack([ranking.average_precision(weights_RN) for ranking in rankings], axis=1))
    f2, average = np.concatenate(f2_RL), np.concatenate(average_RL)
    of_group = {group: _mean_of_seen(f2[:, [g == group for g in groups]]) for group in dict.fromkeys(groups)}
    return Intervals(
        sample_f2=_interval(np.concatenate(sample_R)),
        macro_f2=_interval_of_seen(_mean_of_seen(f2)),
        mean_average_precision=_interval_of_seen(_mean_of_seen(average)),
        group_f2={group: found for group, mean_R in of_group.items() if (found := _interval_of_seen(mean_R))},
        f2=[_interval_of_seen(column) for column in f2.T],
        average_precision=[_interval_of_seen(column) for column in average.T],
    )


def paired_difference(
    a_N: Floats, b_N: Floats, seed: int, replicates: int = REPLICATES, drawn_with_N: Groups | None = None
) -> tuple[float, float, float]:
    """Compare two scores of the same chips: is `a` better than `b` beyond the luck of the chips?

    Args:
        a_N: one score per chip, for example `sample_fbeta` of a label set.
        b_N: the other's on the same chips in the same order.
        seed: of the draws.
        replicates: how many times the chips are drawn.
        drawn_with_N: as for `intervals`.

    Returns:
        The mean of a - b and its 95 % interval (low, high).

    Raises:
        ValueError: the two do not score the same number of chips, or none.
    """
    if a_N.shape != b_N.shape or a_N.ndim != 1 or not len(a_N):
        raise ValueError(f"scores of shapes {a_N.shape} and {b_N.shape}; give one per chip, same chips")
    difference_N = np.asarray(a_N, np.float64) - b_N
    means = [
        weights_RN @ difference_N / weights_RN.sum(axis=1)
        for weights_RN in _resamples(len(a_N), seed, replicates, drawn_with_N)
    ]
    return float(difference_N.mean()), *_interval(np.concatenate(means))


class _Ranking:
    """One label's chips from the most to the least probable, sorted once for all replicates."""

    def __init__(self, probs_N: npt.NDArray[np.floating], targets_N: Labels) -> None:
        self._order_N = np.argsort(-probs_N, kind="stable")
        ranked_N = probs_N[self._order_N]
        self._targets_N = targets_N[self._order_N]
        self._ends = np.append(np.flatnonzero(ranked_N[1:] != ranked_N[:-1]), len(ranked_N) - 1)

    def average_precision(self, weights_RN: Floats) -> Floats:
        """Return scikit-learn's `average_precision_score` under every row of weights."""
        ranked_RN = weights_RN[:, self._order_N]
        predicted_RK = np.cumsum(ranked_RN, axis=1)[:, self._ends]  # equal scores count together
        hits_RK = np.cumsum(ranked_RN * self._targets_N, axis=1)[:, self._ends]
        gained_RK = np.diff(hits_RK, axis=1, prepend=0)
        with np.errstate(invalid="ignore"):
            precision_RK = np.where(predicted_RK > 0, hits_RK / np.maximum(predicted_RK, 1), 0)
            return np.asarray((precision_RK * gained_RK).sum(axis=1) / hits_RK[:, -1])


def _resamples(chips: int, seed: int, replicates: int, drawn_with_N: Groups | None) -> Iterator[Floats]:
    """Yield how often each chip is drawn, in blocks (R,N)."""
    if drawn_with_N is not None:
        groups = int(drawn_with_N.max()) + 1
        for weights_RG in _resamples(groups, seed, replicates, None):
            yield weights_RG.take(drawn_with_N, axis=1)
        return
    random = np.random.default_rng(seed)
    for start in range(0, replicates, BLOCK):
        rows = min(BLOCK, replicates - start)
        drawn_RN = random.integers(0, chips, (rows, chips)) + np.arange(rows)[:, None] * chips
        yield np.bincount(drawn_RN.ravel(), minlength=rows * chips).reshape(rows, chips).astype(np.float64)


def _f2(hits_RL: Floats, predicted_RL: Floats, positives_RL: Floats) -> Floats:
    """Return F2 per label, nan where a replicate drew no positive."""
    f2_RL = 5 * hits_RL / np.maximum(4 * positives_RL + predicted_RL, 1)
    return np.where(positives_RL > 0, f2_RL, np.nan)


def _mean_of_seen(values_RL: Floats) -> Floats:
    seen_RL = ~np.isnan(values_RL)
    count_R = seen_RL.sum(axis=1)
    sum_R = np.where(seen_RL, values_RL, 0).sum(axis=1)
    return np.where(count_R > 0, sum_R / np.maximum(count_R, 1), np.nan)


def _interval(values_R: Floats) -> Interval:
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(values_R, (tail, 1 - tail))
    return float(low), float(high)


def _interval_of_seen(values_R: Floats) -> Interval | None:
    seen_R = values_R[~np.isnan(values_R)]
    return _interval(seen_R) if len(seen_R) else None
