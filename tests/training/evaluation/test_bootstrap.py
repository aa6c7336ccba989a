"""Shape suffixes: N chips, L labels."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import average_precision_score

from training.decision.fbeta import sample_fbeta
from training.evaluation.bootstrap import Intervals, intervals, paired_difference
from training.evaluation.metrics import measure


def noisy(chips: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Label sets, probabilities (with ties) and truth of three labels; the last is rare."""
    random = np.random.default_rng(seed)
    targets_NL = random.random((chips, 3)) < (0.5, 0.3, 0.05)
    probs_NL = np.clip(targets_NL * 0.4 + random.random((chips, 3)) * 0.6, 0, 1).round(2).astype(np.float32)
    return probs_NL >= 0.45, probs_NL, targets_NL


def of(predicted_NL: np.ndarray, probs_NL: np.ndarray, targets_NL: np.ndarray, seed: int = 1) -> Intervals:
    return intervals(predicted_NL, probs_NL, targets_NL, ["a", "a", "b"], seed, replicates=400)


def test_every_interval_holds_its_score() -> None:
    predicted_NL, probs_NL, targets_NL = noisy(300)
    found = of(predicted_NL, probs_NL, targets_NL)
    scores = measure(predicted_NL, probs_NL, targets_NL, ["x", "y", "z"], ["a", "a", "b"], fitting="held-out")
    assert found.group_f2.keys() == scores.group_f2.keys()
    pairs = [
        (found.sample_f2, scores.sample_f2),
        (found.macro_f2, scores.macro_f2),
        (found.mean_average_precision, scores.mean_average_precision),
        *((found.group_f2[group], value) for group, value in scores.group_f2.items()),
        *zip(found.f2, (row.f2 for row in scores.labels), strict=True),
        *zip(found.average_precision, (row.average_precision for row in scores.labels), strict=True),
    ]
    for interval, value in pairs:
        assert interval and value is not None
        low, high = interval
        assert low < value < high
    widths_L = np.ptp(np.array(found.f2, float), axis=1)
    assert widths_L[2] > widths_L[0]  # the rare label is known less well


def test_replicates_are_scored_as_scikit_learn_scores_them(monkeypatch: pytest.MonkeyPatch) -> None:
    _, probs_NL, targets_NL = noisy(80)
    weights_RN = np.random.default_rng(5).multinomial(80, [1 / 80] * 80, size=1).astype(float)
    monkeypatch.setattr("training.evaluation.bootstrap._resamples", lambda *_: iter([weights_RN]))
    predicted_NL = probs_NL >= 0.45
    found = of(predicted_NL, probs_NL, targets_NL)  # of one replicate: both ends are its score
    drawn = np.repeat(np.arange(80), weights_RN[0].astype(int))
    expected = measure(
        predicted_NL[drawn], probs_NL[drawn], targets_NL[drawn], "xyz", ["a", "a", "b"], fitting="held-out"
    )
    assert found.macro_f2 and found.mean_average_precision
    assert found.sample_f2[0] == pytest.approx(expected.sample_f2)
    assert found.macro_f2[1] == pytest.approx(expected.macro_f2)
    assert found.mean_average_precision[0] == pytest.approx(expected.mean_average_precision)
    for label, row in enumerate(expected.labels):
        f2, average_precision = found.f2[label], found.average_precision[label]
        assert f2 and average_precision
        assert f2[0] == pytest.approx(row.f2)
        weighted = average_precision_score(
            targets_NL[:, label], probs_NL[:, label], sample_weight=weights_RN[0]
        )
        assert average_precision[0] == pytest.approx(weighted)


def test_the_width_is_the_textbook_standard_error() -> None:
    predicted_NL, probs_NL, targets_NL = noisy(1000)
    low, high = of(predicted_NL, probs_NL, targets_NL).sample_f2
    standard_error = stats.sem(sample_fbeta(predicted_NL, targets_NL))
    assert high - low == pytest.approx(2 * 1.96 * standard_error, rel=0.15)


def test_a_label_that_no_chip_has_is_left_out() -> None:
    predicted_NL, probs_NL, targets_NL = noisy(100)
    targets_NL[:, 2] = False
    found = of(predicted_NL, probs_NL, targets_NL)
    assert found.f2[2] is found.average_precision[2] is None
    assert found.group_f2 == {"a": found.macro_f2}
    assert found.mean_average_precision and 0 < found.mean_average_precision[0] <= 1


def test_the_seed_decides_the_draws() -> None:
    chips = noisy(100)
    assert of(*chips, seed=1) == of(*chips, seed=1)
    assert of(*chips, seed=1) != of(*chips, seed=2)


def test_pairing_sees_a_difference_that_two_intervals_would_hide() -> None:
    random = np.random.default_rng(0)
    b_N = random.random(500)
    a_N = b_N + random.normal(0.01, 0.02, 500)
    mean, low, high = paired_difference(a_N, b_N, seed=3)
    assert mean == pytest.approx((a_N - b_N).mean())
    assert 0 < low < mean < high
    assert high - low == pytest.approx(2 * 1.96 * stats.sem(a_N - b_N), rel=0.15)
    assert paired_difference(b_N, b_N, seed=3) == (0.0, 0.0, 0.0)
    with pytest.raises(ValueError, match="one per chip"):
        paired_difference(a_N, b_N[1:], seed=3)


def test_copies_drawn_together_do_not_narrow_an_interval() -> None:
    predicted_NL, probs_NL, targets_NL = noisy(200)
    alone = of(predicted_NL, probs_NL, targets_NL)
    predicted_NL, probs_NL, targets_NL = (
        np.concatenate([part, part]) for part in (predicted_NL, probs_NL, targets_NL)
    )
    pairs_N, groups = np.tile(np.arange(200), 2), ["a", "a", "b"]
    together = intervals(predicted_NL, probs_NL, targets_NL, groups, 1, 400, drawn_with_N=pairs_N)
    assert together.sample_f2 == pytest.approx(alone.sample_f2)
    assert together.mean_average_precision == pytest.approx(alone.mean_average_precision)
    apart = of(predicted_NL, probs_NL, targets_NL)
    assert np.diff(apart.sample_f2) < 0.9 * np.diff(alone.sample_f2)
