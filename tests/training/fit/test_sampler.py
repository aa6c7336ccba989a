"""Shape suffixes: N chips, L labels."""

import numpy as np
import pytest
import torch

from training.fit.sampler import epoch_order, repeat_factors

CHIPS = 400
SHARES = (0.5, 0.5, 0.2, 0.01, 0.0)  # of labels; the median of those that occur lies at 0.2


def targets() -> torch.Tensor:
    """Chips with a single label or none, as many as the shares say, and a few with two."""
    targets_NL = torch.zeros(CHIPS, len(SHARES), dtype=torch.bool)
    targets_NL[:200, 0] = True
    targets_NL[100:300, 1] = True
    targets_NL[300:380, 2] = True
    targets_NL[380:384, 3] = True
    return targets_NL


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def counts(oversample: float, seed: int = 0) -> torch.Tensor:
    return torch.bincount(epoch_order(targets(), oversample, seeded(seed)), minlength=CHIPS)


def test_without_oversampling_an_epoch_is_a_permutation() -> None:
    order_N = epoch_order(targets(), 0, seeded())
    assert torch.equal(order_N, torch.randperm(CHIPS, generator=seeded()))


@pytest.mark.parametrize("oversample", [0.0, 0.3, 1.0])
def test_an_epoch_keeps_its_length_and_comes_again_with_its_seed(oversample: float) -> None:
    order_N = epoch_order(targets(), oversample, seeded())
    assert order_N.dtype == torch.int64
    assert len(order_N) == CHIPS
    assert torch.equal(order_N, epoch_order(targets(), oversample, seeded()))
    assert not torch.equal(order_N, epoch_order(targets(), oversample, seeded(1)))


def test_repeat_factors_are_the_papers() -> None:
    targets_NL = np.random.default_rng(0).random((300, 5)) < [0.6, 0.4, 0.2, 0.05, 0.02]
    share_L = targets_NL.mean(axis=0)
    factor_L = np.maximum(1, np.sqrt(np.median(share_L) / share_L))
    expected_N = [max([1.0, *(factor_L[row_L])]) for row_L in targets_NL]
    np.testing.assert_allclose(repeat_factors(torch.from_numpy(targets_NL), 0.5).numpy(), expected_N)


@pytest.mark.parametrize("oversample", [0.1, 0.5, 1.0])
def test_a_chip_comes_as_often_as_expected_up_to_rounding(oversample: float) -> None:
    factor_N = repeat_factors(targets(), oversample)
    expected_N = factor_N * CHIPS / factor_N.sum()
    for seed in range(20):
        assert ((counts(oversample, seed) - expected_N).abs() < 1 + 1e-9).all()
    mean_N = torch.stack([counts(oversample, seed) for seed in range(400)]).double().mean(dim=0)
    torch.testing.assert_close(mean_N, expected_N, rtol=0, atol=0.15)


def test_rare_labels_come_more_often_the_higher_the_option() -> None:
    rare = [int(counts(oversample)[380:384].sum()) for oversample in (0, 0.25, 0.5, 0.75, 1)]
    assert rare == sorted(set(rare))
    assert rare[0] == 4


def test_at_one_a_rare_label_is_as_frequent_as_the_median() -> None:
    drawn_L = (targets() * counts(1.0)[:, None]).sum(dim=0)
    assert abs(int(drawn_L[3] - drawn_L[2])) <= 10
    assert drawn_L[4] == 0


def test_chips_without_labels_and_labels_without_chips_ask_for_nothing() -> None:
    assert (repeat_factors(torch.zeros(5, 3, dtype=torch.bool), 1.0) == 1).all()
    assert (repeat_factors(targets(), 1.0)[384:] == 1).all()


@pytest.mark.parametrize("oversample", [-0.1, 1.5, float("nan")])
def test_other_amounts_are_refused(oversample: float) -> None:
    with pytest.raises(ValueError, match="choose 0"):
        epoch_order(targets(), oversample, seeded())
