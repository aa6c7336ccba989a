"""A layer's or a table's file → its rows with a verdict, as arrays.

Reads what `chipvote map`, `chipvote score` and the page write. Columns are known by their place
between `labels` and `members`, since label names can be anything.

Shape suffixes: N rows, L labels.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import shapely
from pyogrio.raw import read_arrow

from service.answers.layers.errors import LayerError
from service.answers.layers.geopackage import LAYER

FORMATS = (".parquet", ".gpkg", ".geojson")
_NAMES = ("scene", "name")  # of what a row is about: of a layer, of a table
_WINDOW = ("column", "row", "width", "height")
_NO_LAYER = "give a layer of chipvote map, a GeoPackage of the page, or a table of chipvote score"

_UNREADABLE = (pa.ArrowException, shapely.errors.ShapelyError, RuntimeError, OSError, TypeError, ValueError)


class Layer(NamedTuple):
    """The rows of a layer or a table that have a verdict."""

    name: str
    bundles: tuple[str, ...]  # name and version of those that answered
    labels: tuple[str, ...]
    keys: list[str]  # scenes, or chips
    windows: list[tuple[int, ...]]  # of the scenes' pixels: column, row, width, height; of chips nothing
    geometries: npt.NDArray[np.object_]  # None where a row has none
    predicted_NL: npt.NDArray[np.bool_]
    probs_NL: npt.NDArray[np.float64]
    votes_NL: npt.NDArray[np.int64]
    members: npt.NDArray[np.int64]
    disagreement: npt.NDArray[np.float64]  # NaN where it is not known
    failed: int  # rows without a verdict

    @property
    def placed(self) -> bool:
        """Whether its rows lie on the ground."""
        return not shapely.is_missing(self.geometries).all()


def read(path: Path) -> Layer:
    """Read a file, or a folder of Parquet parts.

    Raises:
        LayerError: it is not there, or neither a layer nor a table.
    """
    try:
        return _layer(path, _table(path))
    except _UNREADABLE as error:
        raise LayerError(f"{path} cannot be read ({str(error).splitlines()[0]}); {_NO_LAYER}") from error


def _layer(path: Path, table: pa.Table) -> Layer:
    names = table.column_names
    if not {"labels", "members", "model", "version"} < set(names) or not set(_NAMES) & set(names):
        raise LayerError(f"{path} has not the columns of a layer; {_NO_LAYER}")
    told = table.filter(pc.field("members").is_valid())
    between = names[names.index("labels") + 1 : names.index("members")]
    count = len(between) // 3
    predicted, probabilities, votes = (between[at : at + count] for at in (0, count, 2 * count))
    named = all(name.startswith("p_") for name in probabilities) and all(
        name.startswith("votes_") for name in votes
    )
    if len(between) % 3 or not named:
        raise LayerError(f"{path} has not three columns for each label; {_NO_LAYER}")
    bundles = {f"{row['model']} {row['version']}" for row in told.select(["model", "version"]).to_pylist()}
    return Layer(
        name=path.name,
        bundles=tuple(sorted(bundles)),
        labels=tuple(name.removeprefix("p_") for name in probabilities),
        keys=told[next(name for name in _NAMES if name in names)].to_pylist(),
        windows=_windows(told),
        geometries=_geometries(told),
        predicted_NL=_stacked(told, predicted) == 1,
        probs_NL=_stacked(told, probabilities),
        votes_NL=np.nan_to_num(_stacked(told, votes)).astype(np.int64),
        members=_numbers(told, "members").astype(np.int64),
        disagreement=_numbers(told, "disagreement"),
        failed=len(table) - len(told),
    )


def _table(path: Path) -> pa.Table:
    if not path.exists():
        raise LayerError(f"{path}: there is no such file; {_NO_LAYER}")
    if not path.is_dir() and path.suffix not in FORMATS:
        raise LayerError(f"{path} is of no format that is read ({', '.join(FORMATS)}); {_NO_LAYER}")
    if path.is_dir() or path.suffix == ".parquet":
        return pq.read_table(path)
    facts, table = read_arrow(path, layer=LAYER if path.suffix == ".gpkg" else None)
    geometry = facts["geometry_name"] or "wkb_geometry"
    return table.rename_columns(["geometry" if name == geometry else name for name in table.column_names])


def _geometries(table: pa.Table) -> npt.NDArray[np.object_]:
    known = "geometry" in table.column_names
    found_N = shapely.from_wkb(table["geometry"].to_pylist() if known else [None] * len(table))
    return np.asarray(shapely.make_valid(found_N))  # other programs' outlines may cross themselves


def _windows(table: pa.Table) -> list[tuple[int, ...]]:
    if not set(_WINDOW) <= set(table.column_names):
        return [()] * len(table)
    windows = zip(*(table[name].to_pylist() for name in _WINDOW), strict=True)
    return [() if None in window else window for window in windows]


def _stacked(table: pa.Table, names: Sequence[str]) -> npt.NDArray[np.float64]:
    return np.array([_numbers(table, name) for name in names]).reshape(len(names), len(table)).T


def _numbers(table: pa.Table, name: str) -> npt.NDArray[np.float64]:
    if name not in table.column_names:
        return np.full(len(table), np.nan)
    return np.asarray(table[name].cast(pa.float64()).to_numpy().astype(np.float64))
