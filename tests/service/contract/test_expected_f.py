"""Shape suffixes: B chips, L labels, S all subsets of the labels."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from service.contract.expected_f import best_sets, expected_fbeta
from tests.kit.fakes import Array

SUBSETS = {labels: np.array(list(itertools.product((False, True), repeat=labels))) for labels in range(1, 6)}


def by_force(probs_L: Array, beta: float) -> Array:
    """The expected F-beta of every set, over every truth."""
    subsets_SL = SUBSETS[len(probs_L)]
    chance_S = np.where(subsets_SL, probs_L, 1 - probs_L).prod(axis=1)
    hits_SS = (subsets_SL[:, None] & subsets_SL[None]).sum(axis=2)
    weight_SS = subsets_SL.sum(axis=1)[:, None] + beta**2 * subsets_SL.sum(axis=1)[None]
    f_SS = np.where(weight_SS == 0, 1.0, (1 + beta**2) * hits_SS / np.where(weight_SS == 0, 1, weight_SS))
    return np.asarray(f_SS @ chance_S)


@st.composite
def chips(draw: st.DrawFn) -> Array:
    shape = (draw(st.integers(1, 3)), draw(st.integers(1, 5)))
    return draw(hnp.arrays(np.float64, shape, elements=st.floats(0, 1)))


@given(chips(), st.sampled_from([0.5, 1.0, 2.0]))
@settings(max_examples=200)
def test_no_set_is_better_in_expectation(probs_BL: Array, beta: float) -> None:
    for probs_L, labels_L in zip(probs_BL, best_sets(probs_BL, beta), strict=True):
        expected_S = by_force(probs_L, beta)
        chosen = (SUBSETS[len(probs_L)] == labels_L).all(axis=1).argmax()
        assert expected_S[chosen] == pytest.approx(expected_S.max(), abs=1e-11)


@given(chips(), st.sampled_from([0.5, 1.0, 2.0]))
def test_the_expectation_of_every_prefix_is_that_of_all_truths(probs_BL: Array, beta: float) -> None:
    labels = probs_BL.shape[1]
    for probs_L, expected_K in zip(probs_BL, expected_fbeta(probs_BL, beta), strict=True):
        expected_S = by_force(probs_L, beta)
        for size, value in enumerate(expected_K):
            prefix = (SUBSETS[labels] == (np.arange(labels) < size)).all(axis=1).argmax()
            assert value == pytest.approx(expected_S[prefix], abs=1e-12)


def test_certain_labels_are_set_and_beta_sets_more() -> None:
    probs_BL = np.array([[0.0, 1.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0], [0.5, 0.3, 0.25, 0.1]])
    assert best_sets(probs_BL, 2.0)[:2].tolist() == [[False, True, False, True], [False] * 4]
    sizes = [int(best_sets(probs_BL[2:], beta).sum()) for beta in (0.5, 1.0, 2.0, 5.0)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]
