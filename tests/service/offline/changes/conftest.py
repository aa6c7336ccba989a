"""Two layers of one ground, half a year and some metres apart."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from service.answers.layers import geopackage, geoparquet
from service.answers.layers.rows import Row
from service.offline.changes.reading import Layer, read
from tests.kit.layers import grid, parts_of, verdict, window

SIDE = 6
Make = Callable[[Sequence[Row]], Layer]


@pytest.fixture
def layer(tmp_path: Path) -> Make:
    """Make a layer of rows, by way of a file."""
    count = iter(range(100))

    def make(rows: Sequence[Row]) -> Layer:
        name = f"layer{next(count)}.parquet"
        geoparquet.write(parts_of(tmp_path, rows), tmp_path / name)
        return read(tmp_path / name)

    return make


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Water spreads from the first column to the second; at one place a member is against it."""
    rows = grid(SIDE, lambda column, _: ["water"] if column < 2 else ["bare soil"], shift=0.3)
    doubtful = Row(window(1, 0, shift=0.3), verdict("water", votes=2), None, "EPSG:4326")
    after = [doubtful if row.place.column == 256 and row.place.row == 0 else row for row in rows]
    before = grid(SIDE, lambda column, _: ["water"] if column < 1 else ["bare soil"])
    paths = tmp_path / "before.parquet", tmp_path / "after.gpkg"
    geoparquet.write(parts_of(tmp_path, before), paths[0])
    geopackage.write(parts_of(tmp_path, after), paths[1])
    return paths
