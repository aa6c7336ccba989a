"""Predictions as the API tells them → a table of a layer, to be saved: what a page shows.

Knows no HTTP; `rows.py` names the columns.
"""

import sys
from collections.abc import Sequence
from typing import NotRequired

import pyarrow as pa

from service.answers.layers.rows import Legend, Row
from service.client.schemas import Geometry, Model, Problem, Score, Window
from service.engine.verdict import Verdict
from service.scenes.place import Place

if sys.version_info >= (3, 12):
    from typing import TypedDict
else:
    from typing_extensions import TypedDict  # see client/schemas.py

_NOWHERE = (0.0, 0.0)


class ToldRow(TypedDict):
    """A prediction or a failure, with where it lies."""

    filename: str | None
    footprint: NotRequired[Geometry | None]
    window: NotRequired[Window]
    scores: NotRequired[list[Score]]
    members: NotRequired[int]
    nodata_share: NotRequired[float]
    error: NotRequired[Problem]


def table(model: Model, told: Sequence[ToldRow]) -> pa.Table:
    """Return rows of one bundle as a table as `rows.py` has it; a row's scene is its file."""
    legend = Legend(
        model["name"], model["version"], next((_labels(row) for row in told if "scores" in row), ())
    )
    return pa.Table.from_batches([legend.batch([_row(row) for row in told])])


def _labels(row: ToldRow) -> tuple[str, ...]:
    return tuple(score["label"] for score in row["scores"])


def _row(told: ToldRow) -> Row:
    window = told.get("window") or Window(column=0, row=0, width=0, height=0)
    place = Place(
        scene=told["filename"] or "",
        **window,
        corners=(_NOWHERE, _NOWHERE, _NOWHERE, _NOWHERE),
        geometry=told.get("footprint"),
    )
    if "scores" not in told:
        problem = told.get("error")
        return Row(place, None, problem["detail"] if problem else None)
    scores = told["scores"]
    verdict = Verdict(
        [score["probability"] for score in scores],
        [score["votes"] for score in scores],
        [score["predicted"] for score in scores],
        told.get("members", 0),
        [score["members"] for score in scores if "members" in score],
        blank=told.get("nodata_share"),
    )
    return Row(place, verdict)
