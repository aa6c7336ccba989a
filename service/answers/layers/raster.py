"""Parts of one scene → a cloud-optimised GeoTIFF with a band per label: its probability.

A pixel is a step from one window to the next, in the scene's own grid, however that is turned.
Where windows overlap, a pixel is their weighted mean: a window's weight falls from 1 at its centre
to 0 at its border, since a network sees less around what is at a border.

Shape suffixes: N windows, S windows that cover a pixel, P pixels, H and W rows and columns.
"""

import math
from collections.abc import Sequence
from itertools import product
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
from service.answers.layers.style import write_style

_FINEST = 4  # pixels to a window, where there are two
_LEAST = 1e-6  # weight of a window at its very border

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class _Axis(NamedTuple):
    """The windows along the columns or the rows of their scene."""

    starts_N: Ints  # scene pixels, as the next three
    sides_N: Ints
    origin: int
    step: float
    pixels: int  # of the raster

    @classmethod
    def of(cls, starts_N: Ints, sides_N: Ints) -> "_Axis":
        distinct = np.unique(starts_N)
        # The median, since some windows are left out; without the last, which may be nearer by any
        # amount: the raster of two that nearly coincide would be as fine as the scene.
        apart = np.diff(distinct)
        likely = apart[:-1] if len(apart) > 1 else np.maximum(apart, sides_N[0] / _FINEST)
        step = min(np.median(likely), sides_N[0]) if len(apart) else sides_N[0]
        origin = int(distinct[0])
        pixels = math.ceil(((starts_N + sides_N).max() - origin) / step - 0.5)  # with their centres inside
        return cls(starts_N, sides_N, origin, float(step), pixels)

    def shares(self) -> list[tuple[Ints, Floats]]:
        """Return, for each step into the windows, every window's pixel there and its weight.

        The weight is 0 where the pixel's centre is beyond the window.
        """
        first_N = np.ceil((self.starts_N - self.origin) / self.step - 0.5).astype(np.int64)
        found = []
        for ahead in range(math.ceil(self.sides_N.max() / self.step) + 1):
            pixel_N = first_N + ahead
            across_N = ((pixel_N + 0.5) * self.step + self.origin - self.starts_N) / self.sides_N
            inside_N = (across_N >= 0) & (across_N < 1) & (pixel_N < self.pixels)
            weight_N = np.maximum(1 - np.abs(2 * across_N - 1), _LEAST)
            found.append((pixel_N, np.where(inside_N, weight_N, 0.0)))
        return found


def write(parts: Sequence[Path], out: Path) -> None:
    """Write the probabilities, float32; NaN where no window has a verdict.

    Args:
        parts: Parquet files with the schema of `rows.py`, at least one.
        out: where to, ending in `.tif`; a style for QGIS is written beside it.

    Raises:
        LayerError: no window has a verdict, or they are of several scenes.
    """
    legend, table = Legend.read(schema_of(parts)), _windows(parts)
    across, down = (
        _Axis.of(table[start].to_numpy().astype(np.int64), table[side].to_numpy().astype(np.int64))
        for start, side in (("column", "width"), ("row", "height"))
    )
    profile = {
        "driver": "COG",
        "width": across.pixels,
        "height": down.pixels,
        "count": len(legend.labels),
        "dtype": "float32",
        "nodata": math.nan,
        "crs": table["crs"][0].as_py(),
        "transform": _scene_grid(table)
        @ Affine.translation(across.origin, down.origin)
        @ Affine.scale(across.step, down.step),
        "compress": "DEFLATE",
        "predictor": "YES",
        "overview_resampling": "AVERAGE",
    }
    probs_NL = np.stack([table[column.probability].to_numpy() for column in legend.columns()], axis=1)
    # In memory first: where the disk is full, GDAL would leave half a file and not say so.
    with rasterio.MemoryFile() as memory:
        with memory.open(**profile) as file:
            file.update_tags(model=legend.model, version=legend.version)
            file.write(_blended(probs_NL, across, down))
            file.descriptions = legend.labels
        with whole(out) as partial:
            partial.write_bytes(memory.getbuffer())
    write_style(parts, out)


def _windows(parts: Sequence[Path]) -> pa.Table:
    columns = Legend.read(schema_of(parts)).columns()
    facts = ["scene", "column", "row", "width", "height", "members", "crs", "corners"]
    wanted = [*facts, *(column.probability for column in columns)]
    table = pa.concat_tables(pq.read_table(part, columns=wanted) for part in parts)
    table = table.filter(pc.field("corners").is_valid() & pc.field("members").is_valid())
    scenes = table["scene"].unique().to_pylist()
    if not scenes:
        raise LayerError("no window has a verdict, so there is no raster; write .gpkg or .parquet")
    if len(scenes) > 1:
        raise LayerError(
            f"a raster has the grid of one scene, these are {len(scenes)}; write one for each, or .gpkg"
        )
    return table


def _blended(probs_NL: Floats, across: _Axis, down: _Axis) -> npt.NDArray[np.float32]:
    """Return what windows say of each pixel, labels first."""
    count, steps = down.pixels * across.pixels, list(product(down.shares(), across.shares()))

    def added(probs_N: Floats) -> Floats:
        """Add what windows say to the pixels that they cover, weighted."""
        sum_P = np.zeros(count)
        # Step by step: all pairs of a window and a pixel at once would be more than memory takes.
        for (row_N, down_N), (column_N, across_N) in steps:
            weight_N = down_N * across_N
            kept_S = np.flatnonzero(weight_N)
            np.add.at(sum_P, (row_N * across.pixels + column_N)[kept_S], (weight_N * probs_N)[kept_S])
        return sum_P

    result_LP = np.empty((probs_NL.shape[1], count), np.float32)
    total_P = added(np.ones(len(probs_NL)))
    with np.errstate(invalid="ignore"):  # 0 / 0 is what no window covers
        for row_P, probs_N in zip(result_LP, probs_NL.T, strict=True):
            row_P[:] = added(probs_N) / total_P
    return result_LP.reshape(-1, down.pixels, across.pixels)


def _scene_grid(table: pa.Table) -> Affine:
    """Return what maps a scene's pixels to its own system, from the corners of a window."""
    column, row, width, height = (table[name][0].as_py() for name in ("column", "row", "width", "height"))
    x0, y0, x1, y1, _, _, x3, y3 = table["corners"][0].as_py()
    unit = Affine((x1 - x0) / width, (x3 - x0) / height, x0, (y1 - y0) / width, (y3 - y0) / height, y0)
    return unit @ Affine.translation(-column, -row)
