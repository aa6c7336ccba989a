"""Layers without scenes: windows on a small grid, with verdicts that a test can foretell."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from service.answers.layers.rows import Legend, Row
from service.engine.verdict import Verdict
from service.scenes.place import Place

LABELS = ("semi-arid", "bare soil", "scene", "water", "Water")
LEGEND = Legend("colours", "1.2.3", LABELS)
SIDE_PX = 256
DEGREES = 0.001  # of a window's side
WEST, NORTH = 39.2, -6.1
MEMBERS = 3
NOWHERE = Place("a.png", 0, 0, 0, 0, ((0.0, 0.0),) * 4, None)  # a whole file without a georeference


def verdict(*labels: str, probability: float = 0.9, votes: int = MEMBERS) -> Verdict:
    """A verdict for these labels; the others get no vote."""
    found = [label in labels for label in LABELS]
    return Verdict(
        [probability if one else 0.1 for one in found], [votes if one else 0 for one in found], found, MEMBERS
    )


def window(column: int, row: int, scene: str = "zanzibar.tif", shift: float = 0.0) -> Place:
    """The window at a column and row of the grid, moved east by so many windows."""
    x, y = WEST + (column + shift) * DEGREES, NORTH - row * DEGREES
    x0, y0, x1, y1 = (round(value, 7) for value in (x, y - DEGREES, x + DEGREES, y))
    ring = [[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]]
    return Place(
        scene,
        column * SIDE_PX,
        row * SIDE_PX,
        SIDE_PX,
        SIDE_PX,
        ((x0, y1), (x1, y1), (x1, y0), (x0, y0)),
        {"type": "Polygon", "coordinates": [ring]},
    )


def grid(side: int, labels: Callable[[int, int], Sequence[str]], shift: float = 0.0) -> list[Row]:
    """Rows of side × side windows."""
    return [
        Row(window(column, row, shift=shift), verdict(*labels(column, row)), None, "EPSG:4326")
        for row in range(side)
        for column in range(side)
    ]


def parts_of(folder: Path, rows: Sequence[Row], legend: Legend = LEGEND, size: int = 40) -> list[Path]:
    """Write rows as the parts of a map, at least one."""
    parts = []
    for number, start in enumerate(range(0, max(len(rows), 1), size)):
        parts.append(folder / f"part-{number:05d}.parquet")
        table = pa.Table.from_batches([legend.batch(rows[start : start + size])], legend.schema())
        pq.write_table(table, parts[-1])
    return parts
