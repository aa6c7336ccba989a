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
