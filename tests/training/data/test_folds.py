import time
from pathlib import Path

import numpy as np
import pytest

from training.data.folds import assign_folds
from training.data.tables.forms import read_tags


@pytest.mark.parametrize("folds", [2, 5])
@pytest.mark.parametrize("seed", range(4))
def test_every_chip_is_held_out_once_and_labels_are_spread(folds: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    targets_NL = random.random((400, 8)) < np.geomspace(0.5, 0.02, 8)
    folds_N = assign_folds(targets_NL, folds, seed)
    assert folds_N.shape == (400,)
    sizes = np.bincount(folds_N, minlength=folds)
    assert len(sizes) == folds
    assert np.ptp(sizes) <= 0.1 * 400 / folds
    for column in range(8):
        counts = np.bincount(folds_N[targets_NL[:, column]], minlength=folds)
        assert counts.min() >= np.floor(counts.sum() / folds) - 1
        assert counts.max() <= np.ceil(counts.sum() / folds) + 1


@pytest.mark.parametrize("positives", [5, 7, 10])
def test_a_rare_label_is_in_every_fold_where_it_can_be(positives: int) -> None:
    targets_NL = np.zeros((100, 2), np.bool_)
    targets_NL[:, 0] = True
    targets_NL[:positives, 1] = True
    counts = np.bincount(assign_folds(targets_NL, 5, 0)[:positives], minlength=5)
    assert set(counts) <= {positives // 5, -(-positives // 5)}


def test_folds_depend_on_the_seed_alone() -> None:
    targets_NL = np.random.default_rng(0).random((60, 4)) < 0.3
    np.testing.assert_array_equal(assign_folds(targets_NL, 3, 1), assign_folds(targets_NL, 3, 1))
    assert (assign_folds(targets_NL, 3, 1) != assign_folds(targets_NL, 3, 2)).any()


def test_fewer_chips_than_folds_are_refused() -> None:
    with pytest.raises(ValueError, match="4 chips cannot make 5 folds; add chips or use fewer folds"):
        assign_folds(np.eye(4, dtype=np.bool_), 5, 0)


def test_a_single_label_is_refused() -> None:
    with pytest.raises(ValueError, match="at least two labels, the tags have 1"):
        assign_folds(np.ones((9, 1), np.bool_), 3, 0)


def test_planet_folds_hold_every_label_in_equal_shares(shared_data: Path) -> None:
    targets_NL = read_tags(shared_data / "planet" / "train_v2.csv").targets_NL
    folds_N = assign_folds(targets_NL, 5, 2017)
    for column in range(targets_NL.shape[1]):
        counts = np.bincount(folds_N[targets_NL[:, column]], minlength=5)
        assert np.ptp(counts) <= max(2, 0.01 * counts.sum())


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("largest", [2, 9])
def test_groups_stay_whole_and_labels_are_spread(seed: int, largest: int) -> None:
    random = np.random.default_rng(seed)
    targets_NL = random.random((600, 8)) < np.geomspace(0.5, 0.02, 8)
    groups_N = np.repeat(np.arange(600), random.integers(1, largest + 1, 600))[:600]
    folds_N = assign_folds(targets_NL, 5, seed, groups_N)
    assert all(len(set(folds_N[groups_N == group])) == 1 for group in set(groups_N))
    assert np.ptp(np.bincount(folds_N, minlength=5)) <= largest
    for column in range(8):
        counts = np.bincount(folds_N[targets_NL[:, column]], minlength=5)
        assert np.ptp(counts) <= max(3, 0.1 * counts.sum())


def test_groups_of_one_chip_change_nothing() -> None:
    targets_NL = np.random.default_rng(0).random((60, 4)) < 0.3
    alone_N = assign_folds(targets_NL, 3, 1, np.arange(60))
    np.testing.assert_array_equal(alone_N, assign_folds(targets_NL, 3, 1))


def test_every_fold_gets_a_group_where_there_are_just_enough() -> None:
    groups_N = np.array([0] * 50 + [1, 2, 3, 4, 4])
    targets_NL = np.tile(
        [[True, False], [True, True], [False, True], [False, False], [False, False]], (11, 1)
    )
    assert set(assign_folds(targets_NL, 5, 0, groups_N)) == set(range(5))
    with pytest.raises(ValueError, match="5 groups of chips cannot make 6 folds"):
        assign_folds(targets_NL, 6, 0, groups_N)


def test_fifty_thousand_rows_are_folded_in_seconds() -> None:
    random = np.random.default_rng(0)
    targets_NL = random.random((50_000, 17)) < np.geomspace(0.9, 0.003, 17)
    start_s = time.monotonic()
    assign_folds(targets_NL, 5, 0)
    assign_folds(targets_NL, 5, 0, np.unique(random.integers(0, 25_000, 50_000), return_inverse=True)[1])
    assert time.monotonic() - start_s < 120
