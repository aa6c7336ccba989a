"""Where on a chip a label's evidence lies: the members' class activation maps → one map per label.

A member's map holds logits: its mean plus the head's bias is the member's logit of the label.
Knows arrays only: no labels' names, no graphs, no pictures.

Shape suffixes: M members, L labels, H and W rows and columns of a map, h and w of a member's own.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Maps = npt.NDArray[np.float32]


def averaged(maps_hw: Sequence[Maps], weights_M: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Average one label's maps.

    Args:
        maps_hw: one per member; their sizes may differ.
        weights_M: how much each counts, not all 0.

    Returns:
        (H,W), the largest map's rows and columns; its mean is the weighted mean of the maps' means.
    """
    shape = max((array.shape for array in maps_hw), key=np.prod)
    same_MHW = np.stack([resampled(array, shape) for array in maps_hw])
    return np.asarray(np.average(same_MHW, axis=0, weights=weights_M))


def resampled(map_hw: Maps, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """Bring a map to another size, linearly between its cells' centres; the mean stays."""
    result = map_hw.astype(np.float64)
    for axis, size in enumerate(shape):
        if (old := result.shape[axis]) != size:
            centres = (np.arange(size) + 0.5) * old / size - 0.5
            rows = np.moveaxis(result, axis, -1)
            rows = np.stack([np.interp(centres, np.arange(old), row) for row in rows])
            result = np.moveaxis(rows, -1, axis)
    return np.asarray(result + (map_hw.mean(dtype=np.float64) - result.mean()))


def counting(
    probs_M: npt.NDArray[np.float32], thresholds: Sequence[float], weights: Sequence[int]
) -> npt.NDArray[np.int64]:
    """Return how much each member's map of a label counts.

    In a vote, the members in favour count by their weight. Where the rule is no vote (it has no
    threshold per member), or nobody was in favour, all count that have a say.
    """
    weights_M = np.array(weights or [1] * len(probs_M), np.int64)
    if len(thresholds) == len(probs_M):
        in_favour_M = weights_M * (probs_M >= np.array(thresholds, np.float32))
        if in_favour_M.any():
            return np.asarray(in_favour_M)
    return weights_M
