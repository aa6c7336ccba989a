import numpy as np
import pytest
import shapely
from shapely.affinity import translate

from service.answers.layers.errors import LayerError
from service.answers.layers.rows import Row
from service.offline.changes.matching import match
from service.offline.changes.reading import Layer
from tests.kit.layers import NOWHERE, grid, verdict
from tests.service.offline.changes.conftest import Make


@pytest.mark.parametrize("shift", [0.0, 0.3, -0.49])
def test_shifted_grids_are_paired_by_most_of_the_area(layer: Make, shift: float) -> None:
    before, after = layer(grid(5, lambda *_: [])), layer(grid(5, lambda *_: [], shift=shift))
    pairs = match(before, after)
    assert len(pairs) == 25
    assert pairs.shares == pytest.approx(1 - abs(shift), abs=1e-4)
    for row, other in zip(pairs.before, pairs.after, strict=True):
        moved = translate(before.geometries[row], shift * 0.001)
        assert shapely.area(moved.intersection(after.geometries[other])) == pytest.approx(1e-6, rel=1e-3)


def test_a_shift_by_a_whole_window_leaves_the_last_column_alone(layer: Make) -> None:
    pairs = match(layer(grid(5, lambda *_: [])), layer(grid(5, lambda *_: [], shift=1)))
    assert len(pairs) == 20


def test_smaller_windows_inside_a_large_one_all_take_it(layer: Make) -> None:
    small = layer(grid(2, lambda *_: []))
    large = small._replace(geometries=np.array([shapely.box(39.19, -6.11, 39.21, -6.09)]), keys=["a"])
    assert match(small, large).after.tolist() == [0] * 4


def test_chips_are_paired_by_name(layer: Make) -> None:
    before, after = (
        layer([Row(NOWHERE._replace(scene=name), verdict("water")) for name in names])
        for names in (["a", "b", "c"], ["c", "x", "a"])
    )
    pairs = match(before, after)
    assert (
        [before.keys[row] for row in pairs.before] == [after.keys[row] for row in pairs.after] == ["a", "c"]
    )


def test_what_has_nothing_in_common_is_refused(layer: Make) -> None:
    placed, far = layer(grid(2, lambda *_: [])), layer(grid(2, lambda *_: [], shift=50))
    chip, other = (
        layer([Row(NOWHERE._replace(scene=name), verdict("water"))]) for name in ("a.png", "b.png")
    )
    with pytest.raises(LayerError, match="no place of the one is covered by half"):
        match(placed, far)
    with pytest.raises(LayerError, match="no name is in both"):
        match(chip, other)
    with pytest.raises(LayerError, match=r"has places and .* has none"):
        match(placed, chip)


def test_windows_of_a_scene_of_nowhere_are_paired_by_where_they_are_in_it(layer: Make) -> None:
    def nowhere(*columns: int) -> Layer:
        scene = NOWHERE._replace(scene="plain.tif", width=64, height=64)
        places = [scene._replace(column=column) for column in columns]
        return layer([Row(place, verdict("water")) for place in places])

    pairs = match(nowhere(0, 64, 128), nowhere(128, 0))
    assert list(zip(pairs.before, pairs.after, strict=True)) == [(0, 1), (2, 0)]
