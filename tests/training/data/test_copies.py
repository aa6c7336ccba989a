"""Shape suffixes: N chips, H height, W width, C bands, P pairs."""

from pathlib import Path

import numpy as np
import pytest

from service.contract.chips.decode import decode_chip
from service.contract.manifest import InputSpec
from tests.kit import stripes
from tests.kit.ground import ground, recompressed
from training.data.copies import find_copies


def test_the_same_pixels_are_chained_to_the_first() -> None:
    one, other = ground(1), ground(2)
    found = find_copies(np.stack([one, other, one, one, other]))
    assert found.same_P2.tolist() == [[0, 2], [0, 3], [1, 4]]
    assert not len(found.alike_P2)


@pytest.mark.parametrize("quality", [95, 75, 50])
def test_recompressed_chips_are_alike_and_others_are_not(quality: int) -> None:
    chips = [ground(seed, 256) for seed in range(12)]
    found = find_copies(np.stack([*chips, *(recompressed(chip, quality) for chip in chips)]))
    assert found.alike_P2.tolist() == [[row, row + 12] for row in range(12)]


def test_a_neighbour_one_pixel_away_is_alike_and_one_half_a_chip_away_is_not() -> None:
    whole_HWC = ground(3, 400)
    cuts = [whole_HWC[:256, start : start + 256] for start in (0, 1, 128)]
    assert find_copies(np.stack(cuts)).alike_P2.tolist() == [[0, 1]]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_any_bands_and_number_type(dtype: str) -> None:
    chips_NHWC = np.stack([np.concatenate([ground(s), ground(s + 9)], axis=-1) for s in range(4)]).astype(
        dtype
    )
    again_NHWC = chips_NHWC * 1.001 + 0.4  # not the same pixels where these are floats
    found = find_copies(np.concatenate([chips_NHWC, again_NHWC.astype(dtype)]))
    pairs = sorted(found.same_P2.tolist() + found.alike_P2.tolist())
    assert pairs == [[row, row + 4] for row in range(4)]


def test_values_that_are_none_do_no_harm() -> None:
    chips_NHWC = np.stack([ground(1), ground(2), ground(1)]).astype(np.float32)
    chips_NHWC[:, :3, :3] = np.nan
    chips_NHWC[1] = np.inf
    assert find_copies(chips_NHWC).same_P2.tolist() == [[0, 2]]


def test_flat_chips_and_drawings_are_copies_only_when_they_are_the_same() -> None:
    flat = [np.full((64, 64, 3), value, np.uint8) for value in (0, 1, 0, 255)]
    found = find_copies(np.stack(flat))
    assert (found.same_P2.tolist(), found.alike_P2.tolist()) == ([[0, 2]], [])
    drawn = [np.asarray(stripes.draw(stripes.tags_of(index), index)) for index in range(64)]
    assert all(not len(pairs) for pairs in find_copies(np.stack(drawn)))


@pytest.mark.parametrize("size_px", [8, 33, 100])
def test_odd_sizes(size_px: int) -> None:
    chips_NHWC = np.stack([ground(1, size_px), ground(2, size_px), ground(1, size_px)])
    assert find_copies(chips_NHWC).same_P2.tolist() == [[0, 2]]


def test_real_chips_that_resemble_one_another_are_kept_apart(shared_data: Path) -> None:
    spec = InputSpec(bands=("red", "green", "blue"), height=256, width=256)
    found = [
        *(shared_data / "ucmerced").rglob("beach[78]?.jpg"),
        *(shared_data / "ucmerced").rglob("airplane0?.jpg"),
    ]
    files = sorted(found)
    pairs = find_copies(np.stack([decode_chip(file.read_bytes(), spec) for file in files]))
    names = [file.stem for file in files]
    assert [[names[row] for row in pair] for pair in pairs.same_P2] == [["airplane01", "airplane02"]]
    assert not len(pairs.alike_P2)
