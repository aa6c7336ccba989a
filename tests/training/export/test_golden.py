"""Shape suffixes: K candidates, P precisions, M members, L labels."""

import itertools

import numpy as np
import pytest

from service.contract.chips.bands import RGB
from service.contract.decision import Constrained, Voter
from service.contract.manifest import InputSpec
from training.export.golden import CANDIDATES, CHIPS, STEPS, candidates, most_decided

SPEC = InputSpec(bands=RGB, height=48, width=64)


def test_candidates_are_different_pictures_that_the_seed_decides() -> None:
    chips_KHWC = candidates(SPEC, 1)
    assert chips_KHWC.shape == (CANDIDATES, 48, 64, 3)
    assert chips_KHWC.dtype == np.uint8
    assert len({chip_HWC.tobytes() for chip_HWC in chips_KHWC}) == CANDIDATES
    assert (chips_KHWC.std(axis=(1, 2)) > 5).all()
    np.testing.assert_array_equal(candidates(SPEC, 1), chips_KHWC)
    assert (candidates(SPEC, 2) != chips_KHWC).any()


def test_uint16_candidates_use_all_bits_of_raw_values() -> None:
    raw = InputSpec(bands=("red", "nir"), dtype="uint16", height=48, width=64)
    chips_KHWC = candidates(raw, 1)
    assert chips_KHWC.shape == (CANDIDATES, 48, 64, 2)
    assert chips_KHWC.dtype == np.uint16
    assert 12_000 < chips_KHWC.max() < 1 << 14
    assert (np.bitwise_or.reduce(chips_KHWC, axis=None) == (1 << 14) - 1).all()


@pytest.mark.parametrize("quorum", [1, 2, 3])
def test_the_chosen_chips_are_the_furthest_from_tipping(quorum: int) -> None:
    """A label tips when as many members change their minds as it takes to change the vote."""
    random = np.random.default_rng(quorum)
    probs_PMKL = random.random((1, 3, 20, 2), np.float32)
    probs_PMKL = np.concatenate([probs_PMKL, probs_PMKL + random.normal(0, 1e-3, probs_PMKL.shape)])
    probs_PMKL = probs_PMKL.astype(np.float32)
    thresholds_ML = random.uniform(0.3, 0.7, (3, 2)).astype(np.float32)

    def distance(chip: int) -> float:
        distances = []
        for probs_MKL, label in itertools.product(probs_PMKL, range(2)):
            margins_M = probs_MKL[:, chip, label] - thresholds_ML[:, label]
            is_set = (margins_M >= 0).sum() >= quorum
            flips = (margins_M >= 0).sum() - quorum + 1 if is_set else quorum - (margins_M >= 0).sum()
            side_M = np.sort(np.abs(margins_M[(margins_M >= 0) == is_set]))
            distances.append(side_M[flips - 1])
        return float(min(distances))

    voter = Voter(thresholds_ML, np.ones((3, 2), np.int64), np.full(2, quorum))
    decided = [voter.decide(probs_MKL).labels_BL for probs_MKL in probs_PMKL]
    steady = [chip for chip in range(20) if (decided[0][chip] == decided[1][chip]).all()]
    best = sorted(map(distance, steady), reverse=True)[:CHIPS]
    chosen = [distance(chip) for chip in most_decided(probs_PMKL, voter).tolist()]
    one_step = STEPS[1] / STEPS[0]
    assert sorted(chosen, reverse=True) == pytest.approx(best, rel=one_step - 1)


def test_only_chips_that_every_precision_labels_alike_are_chosen() -> None:
    probs_PMKL = np.full((2, 1, 6, 1), 0.9, np.float32)
    probs_PMKL[1, 0, 1:5] = 0.1
    thresholds_ML = np.full((1, 1), 0.5, np.float32)
    voter = Voter(thresholds_ML, np.ones((1, 1), np.int64), np.ones(1, np.int64))
    assert sorted(most_decided(probs_PMKL, voter)) == [0, 5]
    probs_PMKL[1] = 0.1
    with pytest.raises(ValueError, match="no generated chip gets the same labels at every precision"):
        most_decided(probs_PMKL, voter)


def test_chips_on_which_a_limited_rule_could_choose_otherwise_are_not_chosen() -> None:
    """Both labels are far from their thresholds, but about equally probable on most chips."""
    probs_PMKL = np.full((1, 1, 12, 2), 0.9, np.float32)
    probs_PMKL[0, 0, :, 1] = 0.899
    probs_PMKL[0, 0, [3, 7, 8, 11], 1] = 0.6
    voter = Voter(np.full((1, 2), 0.1, np.float32), np.ones((1, 2), np.int64), np.ones(2, np.int64))
    limited = Constrained(voter, [(0, 1)], [], 2)
    assert sorted(most_decided(probs_PMKL, limited)) == [3, 7, 8, 11]
