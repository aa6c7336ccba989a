import numpy as np
import torch

from training.augmentation import VIEWS, random_views, view


def chips(count: int) -> torch.Tensor:
    return torch.randint(
        0, 256, (count, 6, 6, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


def test_views_are_numpys_turns_and_mirror_images() -> None:
    chips_BHWC = chips(3)
    for index in range(VIEWS):
        expected_BHWC = np.rot90(chips_BHWC.numpy(), index % 4, axes=(1, 2))
        if index >= 4:
            expected_BHWC = np.flip(expected_BHWC, axis=2)
        np.testing.assert_array_equal(view(chips_BHWC, index).numpy(), expected_BHWC)


def test_the_eight_views_are_a_group() -> None:
    chips_BHWC = chips(1)
    views = [view(chips_BHWC, index).numpy().tobytes() for index in range(VIEWS)]
    assert views[0] == chips_BHWC.numpy().tobytes()
    assert len(set(views)) == VIEWS
    for first in range(VIEWS):  # closed, and every row a permutation: each view has its inverse
        products = [view(view(chips_BHWC, first), then).numpy().tobytes() for then in range(VIEWS)]
        assert sorted(products) == sorted(views)


def test_random_views_draws_one_view_for_each_chip() -> None:
    chips_BHWC = chips(200)
    drawn_BHWC = random_views(chips_BHWC, torch.Generator().manual_seed(1))
    all_VBHWC = torch.stack([view(chips_BHWC, index) for index in range(VIEWS)])
    match_VB = (all_VBHWC == drawn_BHWC).flatten(2).all(dim=2)
    assert (match_VB.sum(dim=0) == 1).all()
    counts_V = match_VB.sum(dim=1)
    assert counts_V.min() >= 10  # of 25 expected
    assert torch.equal(drawn_BHWC, random_views(chips_BHWC, torch.Generator().manual_seed(1)))
    assert not torch.equal(drawn_BHWC, random_views(chips_BHWC, torch.Generator().manual_seed(2)))


def test_uint16_chips_are_turned_like_others() -> None:
    chips_BHWC = chips(16)
    raw_BHWC = torch.from_numpy(chips_BHWC.numpy().astype(np.uint16) * 257)
    turned_BHWC = random_views(raw_BHWC, torch.Generator().manual_seed(1))
    assert turned_BHWC.dtype == torch.uint16
    expected_BHWC = random_views(chips_BHWC, torch.Generator().manual_seed(1))
    np.testing.assert_array_equal(turned_BHWC.numpy() // 257, expected_BHWC.numpy())
