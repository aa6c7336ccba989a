"""A scene → its windows: where each chip is cut, so that all of the scene is covered.

A window is as much ground as the bundle's chips show. Reads nothing.

Shape suffix: N windows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, overload

import numpy as np
import numpy.typing as npt

from service.contract.chips.bands import MAX_SIDE_PX, MIN_SIDE_PX
from service.contract.chips.scale import MOST
from service.contract.manifest import InputSpec
from service.scenes.area import in_pixels
from service.scenes.errors import SceneError
from service.scenes.place import Place
from service.scenes.scene import Scene

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

# A window that is nearly a chip, or a chip doubled or halved, is made just that: its pixels then
# stay as they are. No network tells sizes that exactly.
SAME = 0.05
LEAST_STRIDE = 0.05  # share of a window
_SMALLEST = 0.5  # of a window, to which it may shrink in a scene that is smaller
_GROUP_PX = 1024  # side of what is read together, at least
_GROUP_BYTES = 32 << 20  # what is read together may unpack to, and its chips, about


class Grid(Sequence[Place]):
    """A scene's windows, in an order that reads each of its tiles few times.

    Windows lie on a grid of their own; at the right and lower edges the last ones are moved in, so
    that none goes beyond the scene.
    """

    def __init__(
        self,
        scene: Scene,
        spec: InputSpec,
        *,
        stride: float = 1.0,
        resolution_m: float | None = None,
        area: BaseGeometry | None = None,
    ) -> None:
        """Lay the grid.

        Args:
            scene: whose.
            spec: what the bundle takes.
            stride: from window to window, as a share of a window; below 1 they overlap.
            resolution_m: ground metres of a chip's pixel; by default as the bundle says. Where
                nobody says, a pixel of the scene is one of a chip.
            area: in EPSG:4326; windows that touch it are kept.

        Raises:
            SceneError: the scene is too small, too coarse, or too fine without overviews.
        """
        self.scene = scene
        self._resolution_m = resolution_m or spec.ground_resolution_m
        self.width, self.height, self._shrunk = _sides(scene, spec, self._resolution_m)
        steps = [max(1, round(side * max(stride, LEAST_STRIDE))) for side in (self.width, self.height)]
        self.columns = _starts(scene.width, self.width, steps[0])
        self.rows = _starts(scene.height, self.height, steps[1])
        self._wide, self._tall = _group(scene, spec, *steps)
        self._kept: npt.NDArray[np.int64] | None = None
        if area is not None:
            self._kept = self._inside(in_pixels(area, scene.ground, scene.width, scene.height))

    def __len__(self) -> int:
        return len(self.columns) * len(self.rows) if self._kept is None else len(self._kept)

    @overload
    def __getitem__(self, index: int) -> Place: ...
    @overload
    def __getitem__(self, index: slice) -> list[Place]: ...
    def __getitem__(self, index: int | slice) -> Place | list[Place]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        column, row, _ = self._cell(range(len(self))[index])
        return self.scene.ground.place(
            self.scene.name, self.columns[column], self.rows[row], self.width, self.height
        )

    @property
    def remarks(self) -> list[str]:
        """Say what had to be assumed, for people."""
        found = []
        if self._resolution_m is None:
            found.append(
                "the bundle does not say how much ground a pixel of its chips shows, so pixels are taken as "
                "they are in the scene; give the resolution, in metres, where that does not fit"
            )
        elif self.scene.pixel_m is None:
            found.append(
                f"{self.scene.name} does not say how much ground a pixel shows; they are taken as they are"
            )
        elif not _is_even(self.scene):
            found.append(
                f"{self.scene.name}: windows have the size that fits the scene's middle, and pixels at its "
                f"top or bottom are more than {MOST} times as wide or as narrow on the ground; cut it into "
                "parts, or bring it to a system in metres (gdalwarp -t_srs EPSG:…)"
            )
        if self._shrunk:
            found.append(
                f"{self.scene.name} is smaller than a window; it is labelled in windows of "
                f"{self.width}×{self.height} px, whose things look larger than the bundle knows them"
            )
        return found

    def groups(self, first: int = 0) -> Iterator[list[int]]:
        """Yield the windows' numbers from `first` on, in order; neighbours are read together."""
        for _, group in groupby(range(first, len(self)), lambda index: self._cell(index)[2]):
            yield list(group)

    def _cell(self, index: int) -> tuple[int, int, int]:
        """Return a window's column and row in the grid, and the number of its group.

        Groups follow each other along the rows, and so do a group's windows.
        """
        if self._kept is not None:
            index = int(self._kept[index])
        columns, rows = len(self.columns), len(self.rows)
        band, rest = divmod(index, self._tall * columns)
        tall = min(self._tall, rows - band * self._tall)
        group, rest = divmod(rest, tall * self._wide)
        wide = min(self._wide, columns - group * self._wide)
        row, column = divmod(rest, wide)
        return group * self._wide + column, band * self._tall + row, band * columns + group

    def _inside(self, area: BaseGeometry) -> npt.NDArray[np.int64]:
        """Return the numbers of the windows that an area in pixels touches, rising."""
        import shapely

        shapely.prepare(area)
        left, top, right, low = area.bounds
        columns = _near(self.columns, left - self.width, right)
        touched = [np.empty(0, np.int64)]
        for row in _near(self.rows, top - self.height, low):
            x_N, y = np.array(self.columns)[columns], self.rows[row]
            found_N = shapely.intersects(area, shapely.box(x_N, y, x_N + self.width, y + self.height))
            touched.append(self._number(columns[found_N], int(row)))
        return np.sort(np.concatenate(touched))

    def _number(self, column_N: npt.NDArray[np.int64], row: int) -> npt.NDArray[np.int64]:
        """Return the numbers of cells, as `_cell` counts them."""
        columns, (band, row) = len(self.columns), divmod(row, self._tall)
        tall = min(self._tall, len(self.rows) - band * self._tall)
        group_N, column_N = np.divmod(column_N, self._wide)
        wide_N = np.minimum(self._wide, columns - group_N * self._wide)
        return np.asarray(band * self._tall * columns + group_N * tall * self._wide + row * wide_N + column_N)


def _near(starts: Sequence[int], first: float, last: float) -> npt.NDArray[np.int64]:
    """Return which windows begin between two pixels."""
    return np.arange(np.searchsorted(starts, first), np.searchsorted(starts, last, "right"))


def _sides(scene: Scene, spec: InputSpec, resolution_m: float | None) -> tuple[int, int, bool]:
    """Return a window's width and height in the scene's pixels, and whether it had to shrink."""
    sides = [spec.width, spec.height]
    if resolution_m and scene.pixel_m:
        sides = [
            _side(side, resolution_m / pixel_m) for side, pixel_m in zip(sides, scene.pixel_m, strict=True)
        ]
    share = min(scene.width / sides[0], scene.height / sides[1], 1)
    whole = f"a window is {sides[0]}×{sides[1]} of its pixels"
    if min(sides) < MIN_SIDE_PX:
        raise SceneError(
            f"{scene.name}: {whole}, at least {MIN_SIDE_PX} are needed; its pixels show too much ground "
            "for the bundle; give their own resolution, in metres, to have it labelled all the same"
        )
    if share < _SMALLEST:
        raise SceneError(f"{scene.name}: it is {scene.width}×{scene.height} px, {whole}; give a larger scene")
    width, height = (math.floor(side * share + 1e-6) for side in sides)  # or 57 of 100 would be 56
    if max(width, height) / overview(scene, spec, width, height) > MAX_SIDE_PX:
        raise SceneError(
            f"{scene.name}: {whole}, too many to read at once; give it overviews (gdaladdo -r average)"
        )
    return width, height, share < 1


def overview(scene: Scene, spec: InputSpec, width: int, height: int) -> int:
    """Return how many times coarser the overview is that windows are read from; 1: none."""
    most = (1 + SAME) * min(width / spec.width, height / spec.height)
    return max((factor for factor in scene.overviews if factor <= most), default=1)


def _side(chip_px: int, times: float) -> int:
    """Return so many times a chip's side, made a power of two of it where that is nearly so."""
    same = chip_px * 2.0 ** round(math.log2(times))
    return max(1, round(same if abs(chip_px * times / same - 1) <= SAME else chip_px * times))


def _starts(scene_px: int, window_px: int, step_px: int) -> list[int]:
    """Return where windows begin along one side, the last one moved in."""
    last = scene_px - window_px
    starts = list(range(0, last + 1, step_px))
    return starts if starts[-1] == last else [*starts, last]


def _group(scene: Scene, spec: InputSpec, step_x: int, step_y: int) -> tuple[int, int]:
    """Return how many windows along and down are read together.

    Tiles in full, as far as memory goes: so each is unpacked by one thread, once.
    """
    dtype_bytes = np.dtype(spec.dtype).itemsize
    most = max(1, _GROUP_BYTES // (dtype_bytes * len(scene.indexes) * spec.width * spec.height))
    width_px, height_px = (
        min(max(_GROUP_PX, side), most_px)
        for side, most_px in zip(scene.block, (scene.width, scene.height), strict=True)
    )
    height_px = min(height_px, _GROUP_BYTES // (dtype_bytes * len(scene.indexes) * width_px))
    wide = min(math.ceil(width_px / step_x), most)
    return wide, min(max(1, height_px // step_y), max(1, most // wide))


def _is_even(scene: Scene) -> bool:
    """Tell whether pixels show about as much ground at top and bottom as in the middle."""
    top, middle, low = (scene.ground.pixel_m(scene.width, scene.height, down) for down in (0.0, 0.5, 1.0))
    if not (top and middle and low):
        return False  # it reaches a pole
    times = [side_m / own_m for end in (top, low) for side_m, own_m in zip(end, middle, strict=True)]
    return all(1 / MOST <= each <= MOST for each in times)
