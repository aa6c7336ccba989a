"""The label set with the highest expected F-beta, when labels are independent given the chip.

Knows arrays only; `decision.py` calibrates the probabilities that come in.

Shape suffixes: B chips, L labels; S labels set, K true ones among them, N true ones among the
rest, each from 0 to L.
"""

from functools import cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
DECIMALS = 12  # of an expectation: sets that differ by less are equally good, and the smaller one wins


def best_sets(probs_BL: Floats, beta: float) -> npt.NDArray[np.bool_]:
    """Return the label sets (B,L) of highest expected F-beta.

    Among sets of one size, the most probable labels are the best (Lewis 1995). Their expectation
    needs how many of the set, and how many of the rest, are true: two Poisson-binomial
    distributions, each one label longer than the last. O(L³) per chip. A chip without labels
    that gets none counts 1.

    Source: Ye, Chai, Lee, Chieu 2012, "Optimizing F-measures: a tale of two approaches",
    section 3.2; Lewis 1995, "Evaluating and optimizing autonomous text classification systems".

    Args:
        probs_BL: each label's probability of being true, 0..1.
        beta: weight of recall.
    """
    order_BL = np.argsort(-probs_BL, axis=1, kind="stable")
    sorted_BL = np.take_along_axis(probs_BL, order_BL, axis=1)
    expected_BS = expected_fbeta(sorted_BL, beta).round(DECIMALS)
    size_B = expected_BS.argmax(axis=1)
    labels_BL = np.zeros(probs_BL.shape, np.bool_)
    np.put_along_axis(labels_BL, order_BL, np.arange(probs_BL.shape[1]) < size_B[:, None], axis=1)
    return labels_BL


def expected_fbeta(probs_BL: Floats, beta: float) -> Floats:
    """Return the expected F-beta (B,S) of setting the first 0, 1, …, L labels."""
    chips, labels = probs_BL.shape
    outside, f_SKN = _counts(probs_BL[:, ::-1])[::-1], _f(labels, beta)
    expected_BS = np.empty((chips, labels + 1))
    for size, inside_BK in enumerate(_counts(probs_BL)):
        # No matrix product: its sums may run in another order for another number of chips.
        expected_BS[:, size] = (inside_BK[:, :, None] * outside[size][:, None] * f_SKN[size]).sum(axis=(1, 2))
    return expected_BS


@cache
def _f(labels: int, beta: float) -> Floats:
    """Return F-beta (S,K,N)."""
    set_S11, true_K1, true_N = np.ogrid[: labels + 1, : labels + 1, : labels + 1]
    weight_SKN = set_S11 + beta**2 * (true_K1 + true_N)
    return np.where(weight_SKN == 0, 1.0, (1 + beta**2) * true_K1 / np.where(weight_SKN == 0, 1, weight_SKN))


def _counts(probs_BL: Floats) -> list[Floats]:
    """Return how many of the first 0, 1, …, L labels are true, as distributions (B,K)."""
    chips, labels = probs_BL.shape
    counts_BK = np.zeros((chips, labels + 1))
    counts_BK[:, 0] = 1
    found = [counts_BK]
    for prob_B in probs_BL.T:
        counts_BK = counts_BK * (1 - prob_B[:, None])
        counts_BK[:, 1:] += found[-1][:, :-1] * prob_B[:, None]
        found.append(counts_BK)
    return found
