"""Shape suffixes: N chips, L labels."""

import csv
import gzip
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import fbeta_score

from training.config.schema import FLAT, DecisionConfig
from training.decision.fbeta import chip_scores, sample_fbeta
from training.decision.optimum import ascend, label_optima, optimum
from training.decision.thresholds import MARGIN, SHRINKAGE, settle, shrink, tune_row

Probs = npt.NDArray[np.float32]
Truth = npt.NDArray[np.bool_]
Problem = tuple[Probs, Truth]

BETAS = st.sampled_from([0.5, 1.0, 2.0])


@st.composite
def problems(draw: st.DrawFn, lowest: int = 0, highest: int = 12) -> Problem:
    """A few chips and labels; probabilities on a grid of twelfths, so that ties abound."""
    shape = (draw(st.integers(1, 9)), draw(st.integers(2, 4)))
    grid_NL: npt.NDArray[Any] = draw(arrays(np.int64, shape, elements=st.integers(lowest, highest)))
    return (grid_NL / 12).astype(np.float32), draw(arrays(np.bool_, shape))


def f_of(thresholds_L: npt.NDArray[Any], problem: Problem, beta: float = 2.0) -> float:
    probs_NL, targets_NL = problem
    return float(sample_fbeta(probs_NL >= thresholds_L, targets_NL, beta).mean())


def tuned(probs_NL: Probs, targets_NL: Truth, **options: Any) -> Probs:  # noqa: ANN401
    """Tune all labels at once, the chips of one fold."""
    return tune_row(probs_NL, targets_NL, np.zeros(len(probs_NL), np.int64), DecisionConfig(**options))


def random_problem(seed: int, chips: int = 300, labels: int = 6) -> Problem:
    """Scores that tell something about the truth, without ties."""
    random = np.random.default_rng(seed)
    targets_NL = random.random((chips, labels)) < np.geomspace(0.5, 0.02, labels)
    probs_NL = 1 / (1 + np.exp(-random.normal(3.0 * targets_NL - 2.0)))
    return probs_NL.astype(np.float32), targets_NL


@given(truth=problems(), predicted=problems(), beta=BETAS)
def test_sample_fbeta_is_scikit_learns(truth: Problem, predicted: Problem, beta: float) -> None:
    targets_NL, predicted_NL = truth[1], predicted[1]
    rows, columns = np.minimum(targets_NL.shape, predicted_NL.shape)
    targets_NL, predicted_NL = targets_NL[:rows, :columns], predicted_NL[:rows, :columns]
    expected = fbeta_score(targets_NL, predicted_NL, beta=beta, average="samples", zero_division=1)
    assert sample_fbeta(predicted_NL, targets_NL, beta).mean() == pytest.approx(expected)


def test_sample_fbeta_by_hand() -> None:
    targets_NL = np.array([[1, 1, 0], [0, 0, 0], [0, 0, 0], [1, 0, 0]], np.bool_)
    predicted_NL = np.array([[1, 0, 1], [0, 0, 0], [1, 0, 0], [0, 0, 0]], np.bool_)
    # 5·1 / (4·2 + 2); nothing asked and nothing said; a false alarm; a miss
    assert sample_fbeta(predicted_NL, targets_NL).tolist() == [0.5, 1.0, 0.0, 0.0]


@given(problem=problems(), beta=BETAS, start=st.sampled_from([0.0, FLAT, 0.5, 1.0]))
def test_no_cut_of_a_single_label_is_better(problem: Problem, beta: float, start: float) -> None:
    probs_NL, _ = problem
    found_L = ascend(*problem, beta=beta, start=start)
    best = f_of(found_L, problem, beta)
    assert best >= f_of(np.full(len(found_L), np.float32(start)), problem, beta) - 1e-9
    for label in range(len(found_L)):
        for cut in [*np.unique(probs_NL[:, label]), np.float32(1)]:
            other_L = found_L.copy()
            other_L[label] = cut
            assert f_of(other_L, problem, beta) <= best + 1e-8


@given(truth=problems(), predicted=problems(), beta=BETAS)
def test_the_mean_of_chip_scores_is_the_objective(truth: Problem, predicted: Problem, beta: float) -> None:
    targets_NL, predicted_NL = truth[1], predicted[1]
    rows, columns = np.minimum(targets_NL.shape, predicted_NL.shape)
    targets_NL, predicted_NL = targets_NL[:rows, :columns], predicted_NL[:rows, :columns]
    sample_N = chip_scores(predicted_NL, targets_NL, "samples", beta)
    np.testing.assert_array_equal(sample_N, sample_fbeta(predicted_NL, targets_NL, beta))
    seen_L = np.flatnonzero(targets_NL.any(axis=0))
    per_label_L = fbeta_score(targets_NL, predicted_NL, beta=beta, average=None, zero_division=0)
    expected = per_label_L[seen_L].mean() if len(seen_L) else 0.0
    assert chip_scores(predicted_NL, targets_NL, "macro", beta).mean() == pytest.approx(expected)
    if len(seen_L) == columns:
        macro = fbeta_score(targets_NL, predicted_NL, beta=beta, average="macro")
        assert expected == pytest.approx(macro)


def test_the_spread_of_chip_scores_is_the_bootstrap_error_of_macro_f2() -> None:
    probs_NL, targets_NL = random_problem(3, chips=1000, labels=3)
    predicted_NL = probs_NL >= np.float32(0.3)
    random = np.random.default_rng(0)
    drawn = [random.integers(0, 1000, 1000) for _ in range(600)]
    bootstrap = np.std([chip_scores(predicted_NL[rows], targets_NL[rows], "macro").mean() for rows in drawn])
    error = chip_scores(predicted_NL, targets_NL, "macro").std() / np.sqrt(1000)
    assert error == pytest.approx(bootstrap, rel=0.1)


@given(problem=problems(), beta=BETAS, start=st.sampled_from([0.0, FLAT, 0.5]))
def test_label_optima_are_the_best_of_all_cuts(problem: Problem, beta: float, start: float) -> None:
    probs_NL, targets_NL = problem
    found_L = label_optima(probs_NL, targets_NL, beta=beta, start=start)
    for label in np.flatnonzero(targets_NL.any(axis=0)):
        values = [
            fbeta_score(targets_NL[:, label], probs_NL[:, label] >= cut, beta=beta, zero_division=0)
            for cut in [found_L[label], *np.unique(probs_NL[:, label])]
        ]
        assert values[0] == pytest.approx(max(values))
    unseen_L = ~targets_NL.any(axis=0)
    assert (found_L[unseen_L] == np.float32(start)).all()


@pytest.mark.parametrize("objective", ["samples", "macro"])
def test_each_objective_is_raised_most_by_its_own_optimum(objective: str) -> None:
    probs_NL, targets_NL = random_problem(11, chips=800)

    def value(found: str) -> float:
        labels_NL = probs_NL >= optimum(probs_NL, targets_NL, objective=found)  # type: ignore[arg-type]
        return float(chip_scores(labels_NL, targets_NL, objective).mean())  # type: ignore[arg-type]

    assert value(objective) > value({"samples": "macro", "macro": "samples"}[objective])


def test_macro_thresholds_of_a_label_know_no_other_label() -> None:
    probs_NL, targets_NL = random_problem(5)
    alone_L = tuned(probs_NL[:, [2]], targets_NL[:, [2]], objective="macro")
    assert alone_L[0] == tuned(probs_NL, targets_NL, objective="macro")[2]


@pytest.mark.parametrize("objective", ["samples", "macro"])
def test_copies_of_all_chips_change_no_optimum(objective: str) -> None:
    probs_NL, targets_NL = random_problem(6)
    twice = np.tile(probs_NL, (2, 1)), np.tile(targets_NL, (2, 1))
    np.testing.assert_array_equal(
        optimum(*twice, objective=objective),  # type: ignore[arg-type]
        optimum(probs_NL, targets_NL, objective=objective),  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("objective", ["samples", "macro"])
def test_the_usual_shrinkage_belongs_to_the_objective(objective: str) -> None:
    problem = random_problem(8)
    np.testing.assert_array_equal(
        tuned(*problem, objective=objective),
        tuned(*problem, objective=objective, shrinkage=SHRINKAGE[objective]),
    )


def test_endless_shrinkage_is_the_prior_itself() -> None:
    shrunk_L = shrink(np.array([0.5, 0.9]), np.array([0, 10**6]), 0.3, np.inf)
    assert shrunk_L.tolist() == [0.3, 0.3]


def test_a_threshold_stays_where_no_score_is_near() -> None:
    scores_N = np.array([0.1, 0.2, 0.20005, 0.9], np.float32)
    probs_NL = np.repeat(scores_N[:, None], 4, axis=1)
    found_L = settle(probs_NL, np.array([0.5, 0.2, 0.20001, 0.9]))
    # in the wide; at a score; between close ones; at a score, again to be reached
    expected = [0.5, np.float32(0.2) - MARGIN, 0.200025, np.float32(0.9) - MARGIN]
    assert found_L.tolist() == pytest.approx(expected, abs=1e-7)
    np.testing.assert_array_equal(
        probs_NL >= found_L, probs_NL >= np.array([0.5, 0.2, 0.20001, 0.9], np.float32)
    )


@pytest.mark.parametrize("seed", range(3))
def test_real_valued_scores_reach_an_optimum_too(seed: int) -> None:
    problem = random_problem(seed)
    found_L = ascend(*problem)
    best = f_of(found_L, problem)
    assert best > f_of(np.full(6, np.float32(FLAT)), problem)
    for label in range(6):
        for cut in problem[0][:, label]:
            other_L = found_L.copy()
            other_L[label] = cut
            assert f_of(other_L, problem) <= best + 1e-8


@given(problem=problems(1, 11), shrinkage=st.sampled_from([0.0, 1.0, 1e9]))
def test_thresholds_lie_between_scores_so_that_rounding_moves_nothing(
    problem: Problem, shrinkage: float
) -> None:
    probs_NL, targets_NL = problem
    found_L = tuned(probs_NL, targets_NL, shrinkage=shrinkage)
    assert found_L.dtype == np.float32
    assert not (probs_NL == found_L).any()
    labels_NL = probs_NL >= found_L
    for towards in (np.float32(0), np.float32(1)):
        np.testing.assert_array_equal(probs_NL >= np.nextafter(found_L, towards), labels_NL)
    np.testing.assert_array_equal(probs_NL >= found_L.astype(np.float64), labels_NL)


def test_adjacent_scores_are_still_told_apart() -> None:
    low = np.float32(0.3)
    probs_NL = np.array([[low, 0.9], [np.nextafter(low, np.float32(1)), 0.9]], np.float32)
    targets_NL = np.array([[0, 1], [1, 1]], np.bool_)
    labels_NL = probs_NL >= tuned(probs_NL, targets_NL, shrinkage=0)
    np.testing.assert_array_equal(labels_NL, targets_NL)


@given(problem=problems())
def test_without_shrinkage_the_raw_optimum_decides(problem: Problem) -> None:
    probs_NL, targets_NL = problem
    known_L = targets_NL.any(axis=0)
    np.testing.assert_array_equal(
        (probs_NL >= tuned(probs_NL, targets_NL, shrinkage=0))[:, known_L],
        (probs_NL >= ascend(probs_NL, targets_NL))[:, known_L],
    )


@given(problem=problems(), prior=st.sampled_from([FLAT, 0.5]))
def test_with_endless_shrinkage_the_prior_decides(problem: Problem, prior: float) -> None:
    probs_NL, targets_NL = problem
    found_L = tuned(probs_NL, targets_NL, prior=prior, shrinkage=1e12)
    np.testing.assert_array_equal(probs_NL >= found_L, probs_NL >= np.float32(prior))


@pytest.mark.parametrize("shrinkage", [3.0, 30.0, 300.0])
def test_shrinkage_follows_its_formula(shrinkage: float) -> None:
    probs_NL, targets_NL = random_problem(7)
    positives_L = targets_NL.sum(axis=0)
    raw_L = ascend(probs_NL, targets_NL)
    expected_L = FLAT + (raw_L - FLAT) * positives_L / (positives_L + shrinkage)
    found_L = tuned(probs_NL, targets_NL, shrinkage=shrinkage)
    np.testing.assert_array_equal(probs_NL >= found_L, probs_NL >= expected_L)


@given(problem=problems(), shrinkage=st.sampled_from([0.0, 5.0]))
def test_a_label_without_positives_keeps_the_prior(problem: Problem, shrinkage: float) -> None:
    probs_NL, targets_NL = problem
    targets_NL[:, 0] = False
    found_L = tuned(probs_NL, targets_NL, shrinkage=shrinkage)
    np.testing.assert_array_equal(probs_NL[:, 0] >= found_L[0], probs_NL[:, 0] >= np.float32(FLAT))


@pytest.mark.parametrize("constant", [0.0, 0.5, 1.0])
def test_constant_scores_are_all_set_or_all_left_out(constant: float) -> None:
    probs_NL = np.full((5, 2), constant, np.float32)
    targets_NL = np.array([[True, False]] * 5)
    found_L = ascend(probs_NL, targets_NL)
    assert (found_L >= 0).all()
    assert (found_L <= 1).all()
    assert (probs_NL[:, 0] >= found_L[0]).all()
    # no threshold in 0..1 leaves a score of 1 out
    assert (probs_NL[:, 1] >= found_L[1]).all() == (constant == 1.0)


def test_a_score_of_one_cannot_be_left_out_and_the_other_labels_know() -> None:
    probs_NL = np.array([[0, 1], [1, 1], [1, 1]], np.float32)
    targets_NL = np.array([[True, False], [False, False], [False, False]])
    found_L = ascend(probs_NL, targets_NL)
    # the last two chips are lost to the second label, so the first may as well be set on them
    assert f_of(found_L, (probs_NL, targets_NL)) == pytest.approx(5 / 6 / 3)


def read_predictions(path: Path) -> tuple[list[str], Problem]:
    with gzip.open(path, "rt", newline="") as stream:
        header, *rows = csv.reader(stream)
    table = np.array([row[1:] for row in rows], np.float32)
    width = table.shape[1] // 2
    return header[1 : 1 + width], (table[:, :width], table[:, width:] == 1)


@pytest.mark.parametrize("model", ["a", "b"])
def test_shrinkage_keeps_real_predictions_from_overfitting(shared_data: Path, model: str) -> None:
    labels, (probs_NL, targets_NL) = read_predictions(
        shared_data / "predictions" / f"model_{model}_6000.csv.gz"
    )
    assert len(labels) == 17
    fold_N = np.arange(len(probs_NL)) % 5

    def cross_fitted_f2(shrinkage: float) -> float:
        labels_NL = np.zeros_like(targets_NL)
        for fold in range(5):
            seen_N = fold_N != fold
            thresholds_L = tuned(probs_NL[seen_N], targets_NL[seen_N], shrinkage=shrinkage)
            labels_NL[~seen_N] = probs_NL[~seen_N] >= thresholds_L
        return float(sample_fbeta(labels_NL, targets_NL).mean())

    flat = float(sample_fbeta(probs_NL >= np.float32(FLAT), targets_NL).mean())
    raw, shrunk = cross_fitted_f2(0), cross_fitted_f2(SHRINKAGE["samples"])
    in_sample = f_of(ascend(probs_NL, targets_NL), (probs_NL, targets_NL))
    assert raw < shrunk < in_sample
    assert shrunk > flat - 0.0002
