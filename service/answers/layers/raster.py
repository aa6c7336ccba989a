"""Parts of one scene → a cloud-optimised GeoTIFF with a band per label: its probability.

A pixel is a step from one window to the next, in the scene's own grid, however that is turned.
Where windows overlap, a pixel is their weighted mean: a window's weight falls from 1 at its centre
to 0 at its border, since a network sees less around what is at a border.

Shape suffixes: N windows, S pairs of a window and a pixel it covers, H and W rows and columns.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import rasterio
from rasterio.transform import Affine

from service.answers.layers.errors import LayerError
from service.answers.layers.parts import schema_of, whole
from service.answers.layers.rows import Legend

_LEAST = 1e-6  # weight of a window at its very border

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class _Axis(NamedTuple):
    """The windows along the columns or the rows of their scene."""

    starts_N: Ints  # scene pixels, as the next three
    sides_N: Ints
    origin: int
    step: float
    count: int  # pixels of the raster

    @classmethod
    def of(cls, starts_N: Ints, sides_N: Ints) -> "_Axis":
        distinct = np.unique(starts_N)
        # The median: windows at the end of a scene may be nearer, and some are left out.
        step = min(np.median(np.diff(distinct)), sides_N[0]) if len(distinct) > 1 else sides_N[0]
        origin = int(distinct[0])
        count = math.ceil(((starts_N + sides_N).max() - origin) / step)
        return cls(starts_N, sides_N, origin, float(step), count)

    def shares(self) -> list[tuple[Ints, Floats]]:
        """Return, for each step into the windows, which pixel every window has there, and its weight.

        The weight is 0 where the pixel's centre is beyond the window.
        """
        first_N = np.ceil((self.starts_N - self.origin) / self.step - 0.5).astype(np.int64)
        found = []
        for ahead in range(math.ceil(self.sides_N.max() / self.step) + 1):
            pixel_N = first_N + ahead
            across_N = ((pixel_N + 0.5) * self.step + self.origin - self.starts_N) / self.sides_N
            inside_N = (across_N >= 0) & (across_N < 1) & (pixel_N < self.count)
            found.append((pixel_N, inside_N * np.maximum(1 - abs(2 * across_N - 1), _LEAST)))
        return found


def write(parts: Sequence[Path], out: Path) -> None:
    """Write the probabilities, float32; NaN where no window has a verdict.

    Args:
        parts: Parquet files with the schema of `rows.py`, at least one.
        out: where to, ending in `.tif`.

    Raises:
        LayerError: no window has a verdict, or they are of several scenes.
    """
    legend, table = Legend.read(schema_of(parts)), _windows(parts)
    across, down = (
        _Axis.of(table[start].to_numpy().astype(np.int64), table[side].to_numpy().astype(np.int64))
        for start, side in (("column", "width"), ("row", "height"))
    )
    cells_S, weights_S, windows_S = _pairs(across, down)
    total_HW = np.bincount(cells_S, weights_S, across.count * down.count)
    with (
        whole(out) as partial,
        rasterio.Env(GDAL_PAM_ENABLED="NO"),
        rasterio.open(
            partial,
            "w",
            driver="COG",
            width=across.count,
            height=down.count,
            count=len(legend.labels),
            dtype="float32",
            nodata=math.nan,
            crs=table["crs"][0].as_py(),
            transform=_scene_grid(table)
            @ Affine.translation(across.origin, down.origin)
            @ Affine.scale(across.step, down.step),
            compress="DEFLATE",
            predictor="YES",
            overview_resampling="AVERAGE",
        ) as file,
    ):
        file.update_tags(model=legend.model, version=legend.version)
        for band, column in enumerate(legend.columns(), 1):
            probs_S = table[column.probability].to_numpy()[windows_S].astype(np.float64)
            sum_HW = np.bincount(cells_S, weights_S * probs_S, len(total_HW))
            with np.errstate(invalid="ignore"):
                mean_HW = (sum_HW / total_HW).reshape(down.count, across.count)
            file.write(mean_HW.astype(np.float32), band)
            file.set_band_description(band, column.label)


def _windows(parts: Sequence[Path]) -> pa.Table:
    columns = Legend.read(schema_of(parts)).columns()
    facts = ["scene", "column", "row", "width", "height", "members", "crs", "corners"]
    wanted = [*facts, *(column.probability for column in columns)]
    table = pa.concat_tables(pq.read_table(part, columns=wanted) for part in parts)
    table = table.filter(pc.is_valid(table["corners"]) & pc.is_valid(table["members"]))
    scenes = table["scene"].unique().to_pylist()
    if not scenes:
        raise LayerError("no window has a verdict, so there is no raster; write .gpkg or .parquet")
    if len(scenes) > 1:
        raise LayerError(
            f"a raster has the grid of one scene, these are {len(scenes)}; write one for each, or .gpkg"
        )
    return table


def _pairs(across: _Axis, down: _Axis) -> tuple[Ints, Floats, Ints]:
    """Pair windows with the pixels they cover: the pixels by their place in the raster, weights, windows."""
    cells, weights, windows = [], [], []
    for row_N, down_N in down.shares():
        for column_N, across_N in across.shares():
            weight_N = down_N * across_N
            kept = np.flatnonzero(weight_N)
            cells.append((row_N * across.count + column_N)[kept])
            weights.append(weight_N[kept])
            windows.append(kept)
    return np.concatenate(cells), np.concatenate(weights), np.concatenate(windows)


def _scene_grid(table: pa.Table) -> Affine:
    """Return what maps a scene's pixels to its own system, from the corners of a window."""
    column, row, width, height = (table[name][0].as_py() for name in ("column", "row", "width", "height"))
    x0, y0, x1, y1, _, _, x3, y3 = table["corners"][0].as_py()
    unit = Affine((x1 - x0) / width, (x3 - x0) / height, x0, (y1 - y0) / width, (y3 - y0) / height, y0)
    return unit @ Affine.translation(-column, -row)
