"""Shape suffixes: V views, B chips, H height, W width, C bands, K maps, h, w their size."""

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from training.network.augmentation import SHIFT, VIEWS, ZOOM, augment, random_views, unview, view


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


def test_views_of_uint16_chips_are_drawn_alike() -> None:
    drawn_BHWC = random_views(chips(20), torch.Generator().manual_seed(1))
    deep_BHWC = random_views(chips(20).to(torch.uint16), torch.Generator().manual_seed(1))
    assert torch.equal(deep_BHWC, drawn_BHWC.to(torch.uint16))


@pytest.mark.parametrize("index", range(VIEWS))
def test_unview_turns_maps_back(index: int) -> None:
    maps_BKhw = torch.rand(2, 5, 7, 7, generator=torch.Generator().manual_seed(0))
    seen_BKhw = view(maps_BKhw.permute(0, 2, 3, 1), index).permute(0, 3, 1, 2)
    assert torch.equal(unview(seen_BKhw, index), maps_BKhw)
    assert (index == 0) == torch.equal(seen_BKhw, maps_BKhw)


def test_none_changes_nothing_and_views_are_random_views() -> None:
    chips_BHWC = chips(9)
    assert augment(chips_BHWC, "none", torch.Generator()) is chips_BHWC
    drawn_BHWC = augment(chips_BHWC, "views", torch.Generator().manual_seed(3))
    assert torch.equal(drawn_BHWC, random_views(chips_BHWC, torch.Generator().manual_seed(3)))
    assert not torch.equal(drawn_BHWC, chips_BHWC)


def lossy(chips_BHWC: torch.Tensor, seed: int = 0) -> torch.Tensor:
    return augment(chips_BHWC, "lossy", torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.float32])
def test_lossy_gives_float32_in_the_chips_own_units(dtype: torch.dtype) -> None:
    chips_BHWC = chips(5)
    moved_BHWC = lossy(chips_BHWC.to(dtype))
    assert moved_BHWC.dtype == torch.float32
    assert moved_BHWC.shape == chips_BHWC.shape
    torch.testing.assert_close(moved_BHWC, lossy(chips_BHWC.float()))
    assert moved_BHWC.min() >= 0
    assert moved_BHWC.max() > 128
    assert torch.equal(moved_BHWC, lossy(chips_BHWC.to(dtype)))
    assert not torch.equal(moved_BHWC, lossy(chips_BHWC.to(dtype), seed=1))


def landmarks(height: int, width: int, count: int = 300) -> torch.Tensor:
    """Chips whose bands are the coordinates of their pixels, from the middle, in pixels."""
    y_HW, x_HW = torch.meshgrid(
        torch.arange(height) - (height - 1) / 2, torch.arange(width) - (width - 1) / 2, indexing="ij"
    )
    return torch.stack([x_HW, y_HW], dim=2).expand(count, -1, -1, -1)


@pytest.mark.parametrize(("height", "width"), [(65, 65), (65, 97)])
def test_lossy_turns_shifts_zooms_and_mirrors_each_chip_by_itself(height: int, width: int) -> None:
    """Around a chip's middle, nothing comes from over the edge: there the map can be read off."""
    moved_BHWC = lossy(landmarks(height, width))
    y, x = height // 2, width // 2
    by_x_B2 = (moved_BHWC[:, y, x + 5] - moved_BHWC[:, y, x - 5]) / 10
    by_y_B2 = (moved_BHWC[:, y + 5, x] - moved_BHWC[:, y - 5, x]) / 10
    scale_B = by_x_B2.norm(dim=1)
    torch.testing.assert_close(by_y_B2.norm(dim=1), scale_B, rtol=0, atol=1e-3)  # similar: nothing skewed
    torch.testing.assert_close((by_x_B2 * by_y_B2).sum(dim=1), torch.zeros(300), rtol=0, atol=1e-3)
    assert 1 / ZOOM - 1e-3 <= scale_B.min() <= 0.87
    assert 1.15 <= scale_B.max() <= ZOOM + 1e-3
    mirrored_B = by_x_B2[:, 0] * by_y_B2[:, 1] - by_x_B2[:, 1] * by_y_B2[:, 0] < 0
    assert 100 <= mirrored_B.sum() <= 200
    angle_B = torch.atan2(by_y_B2[:, 0], by_y_B2[:, 1])
    assert torch.histc(angle_B, 8, -torch.pi, torch.pi).min() >= 15  # of 37.5 expected
    shift_B2 = moved_BHWC[:, y, x] / torch.tensor([width, height])
    assert shift_B2.abs().amax(dim=0).min() >= 0.09
    assert shift_B2.abs().max() <= SHIFT + 1e-3
    assert len(set(moved_BHWC[:, y, x, 0].tolist())) == 300


def test_lossy_is_scipys_bilinear_resampling_with_reflection() -> None:
    """The map is read off around the middle; each pixel of each chip must follow it."""
    height, width = 33, 49
    chips_BHWC = torch.rand(8, height, width, 2, generator=torch.Generator().manual_seed(0))
    moved_BHWC = lossy(chips_BHWC)
    y, x = height // 2, width // 2
    places_BHW2 = lossy(landmarks(height, width, count=8)).double().numpy()
    for chip, moved, places in zip(chips_BHWC.numpy(), moved_BHWC.numpy(), places_BHW2, strict=True):
        by_x, by_y = places[y, x + 1] - places[y, x], places[y + 1, x] - places[y, x]
        rows, columns = np.mgrid[:height, :width]
        steps = (columns - x)[..., None] * by_x + (rows - y)[..., None] * by_y
        x_HW, y_HW = np.moveaxis(places[y, x] + steps + ((width - 1) / 2, (height - 1) / 2), 2, 0)
        for band in range(2):
            expected_HW = map_coordinates(chip[..., band], [y_HW, x_HW], order=1, mode="reflect")
            np.testing.assert_allclose(moved[..., band], expected_HW, rtol=0, atol=1e-3)
