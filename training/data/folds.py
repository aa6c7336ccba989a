"""Folds that hold every label in equal shares, and no group of chips in two of them.

Shape suffixes: N chips, G groups, L labels, F folds.
"""

import numpy as np
import numpy.typing as npt
from iterstrat.ml_stratifiers import MultilabelStratifiedKFold


def assign_folds(
    targets_NL: npt.NDArray[np.bool_],
    folds: int,
    seed: int,
    groups_N: npt.NDArray[np.int64] | None = None,
) -> npt.NDArray[np.int64]:
    """Give each chip the fold that holds it out, 0..folds-1.

    Args:
        targets_NL: the truth.
        folds: how many.
        seed: of what is left to chance.
        groups_N: each chip's group, 0..G-1; chips of one go into the same fold.

    Raises:
        ValueError: there are fewer chips or groups than folds, or fewer than two labels.
    """
    if targets_NL.shape[1] < 2:
        raise ValueError(f"label sets need at least two labels, the tags have {targets_NL.shape[1]}")
    if len(targets_NL) < folds:
        raise ValueError(f"{len(targets_NL)} chips cannot make {folds} folds; add chips or use fewer folds")
    if groups_N is None or len(np.unique(groups_N)) == len(groups_N):
        return _of_chips(targets_NL, folds, seed)
    return _of_groups(targets_NL, folds, seed, groups_N)[groups_N]


def _of_chips(targets_NL: npt.NDArray[np.bool_], folds: int, seed: int) -> npt.NDArray[np.int64]:
    """Return each chip's fold by iterative stratification.

    Source: Sechidis, Tsoumakas, Vlahavas 2011, "On the stratification of multi-label data".
    """
    splitter = MultilabelStratifiedKFold(n_splits=folds, shuffle=True, random_state=seed)
    folds_N = np.empty(len(targets_NL), np.int64)
    for fold, (_, held_out) in enumerate(splitter.split(targets_NL, targets_NL)):
        folds_N[held_out] = fold
    return folds_N


def _of_groups(
    targets_NL: npt.NDArray[np.bool_], folds: int, seed: int, groups_N: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Return each group's fold (G,): the most telling group first, where its labels lack most.

    A fold's distance from its share is the sum over labels of the squared number of chips that it
    has too many or too few, over all chips with the label; chips as such count as one more label.
    Each group goes where the distance grows least.
    """
    counted_NL = np.concatenate([np.ones((len(targets_NL), 1)), targets_NL], axis=1)
    counts_GL = np.zeros((groups_N.max() + 1, counted_NL.shape[1]))
    np.add.at(counts_GL, groups_N, counted_NL)
    if len(counts_GL) < folds:
        raise ValueError(f"{len(counts_GL)} groups of chips cannot make {folds} folds; use fewer folds")
    weights_GL = counts_GL / np.maximum(counts_GL.sum(axis=0), 1)
    random = np.random.default_rng(seed)
    # By the largest share of any label that a group holds; what is equal, by chance.
    order_G = np.lexsort((random.permutation(len(counts_GL)), -weights_GL.max(axis=1)))
    found_FL, folds_G = np.zeros((folds, counts_GL.shape[1])), np.empty(len(counts_GL), np.int64)
    for group in order_G:
        # The other terms of the squares are the same for every fold.
        excess_F = found_FL @ weights_GL[group]
        fold = random.choice(np.flatnonzero(excess_F <= excess_F.min() + 1e-12))
        folds_G[group] = fold
        found_FL[fold] += counts_GL[group]
    return folds_G
