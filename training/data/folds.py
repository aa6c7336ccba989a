"""Folds that hold every label in equal shares (iterative stratification).

Source: Sechidis, Tsoumakas, Vlahavas 2011, "On the stratification of multi-label data".

Shape suffixes: N chips, L labels.
"""

import numpy as np
import numpy.typing as npt
from iterstrat.ml_stratifiers import MultilabelStratifiedKFold


def assign_folds(targets_NL: npt.NDArray[np.bool_], folds: int, seed: int) -> npt.NDArray[np.int64]:
    """Give each chip the fold that holds it out, 0..folds-1.

    Raises:
        ValueError: there are fewer chips than folds, or fewer than two labels.
    """
    if targets_NL.shape[1] < 2:
        raise ValueError(f"label sets need at least two labels, the tags have {targets_NL.shape[1]}")
    if len(targets_NL) < folds:
        raise ValueError(f"{len(targets_NL)} chips cannot make {folds} folds; add chips or use fewer folds")
    splitter = MultilabelStratifiedKFold(n_splits=folds, shuffle=True, random_state=seed)
    folds_N = np.empty(len(targets_NL), np.int64)
    for fold, (_, held_out) in enumerate(splitter.split(targets_NL, targets_NL)):
        folds_N[held_out] = fold
    return folds_N
