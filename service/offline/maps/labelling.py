"""Windows of scenes → labelled rows, part by part into a journal."""

from collections.abc import Iterator, Sequence
from typing import Any

from service.answers.layers.rows import Row, batch
from service.contract.bundle import Bundle
from service.contract.errors import ServiceError
from service.contract.manifest import InputSpec
from service.engine.crew import Chip, Crew
from service.engine.verdict import Verdict
from service.offline.maps.journal import PART_WINDOWS, Journal
from service.offline.maps.plan import Wishes
from service.scenes.errors import Skipped
from service.scenes.grid import Grid
from service.scenes.place import Place
from service.scenes.reading import read_chips

_Window = tuple[str | None, Place]  # the scene's system


def label_windows(
    crew: Crew[Any],
    bundle: Bundle,
    spec: InputSpec,
    grids: Sequence[Grid],
    wishes: Wishes,
    journal: Journal,
    threads: int,
) -> Iterator[int]:
    """Label what the journal has not yet.

    Args:
        crew: of the bundle.
        bundle: the bundle.
        spec: what its chips are, and the scenes' bands.
        grids: the windows, as they were when the journal was begun.
        wishes: so too.
        journal: opened.
        threads: that read.

    Yields:
        After each window how many are done, those of the journal among them.

    Raises:
        SceneError: a scene is not there any more.
    """
    total = sum(map(len, grids))
    first = min(journal.count * PART_WINDOWS, total)
    if journal.count and first == total:
        return
    rows: list[Row] = []
    windows = _windows(grids, spec, wishes, threads, first)
    for done, ((crs, place), verdict) in enumerate(crew.verdicts(windows), first + 1):
        if row := _row(crs, place, verdict, bundle, wishes):
            rows.append(row)
        if done % PART_WINDOWS == 0:
            journal.add(batch(rows, bundle))
            rows.clear()
        yield done
    if total % PART_WINDOWS or not total:
        journal.add(batch(rows, bundle))


def _windows(
    grids: Sequence[Grid], spec: InputSpec, wishes: Wishes, threads: int, first: int
) -> Iterator[tuple[_Window, Chip | ServiceError]]:
    for grid in grids:
        if first < len(grid):
            for place, chip in read_chips(grid, spec, threads, first=first, max_nodata=wishes.max_nodata):
                yield (grid.scene.crs, place), chip
        first = max(0, first - len(grid))


def _row(
    crs: str | None, place: Place, verdict: Verdict | ServiceError, bundle: Bundle, wishes: Wishes
) -> Row | None:
    if isinstance(verdict, Skipped):
        return None
    if isinstance(verdict, ServiceError):
        return Row(place, None, verdict.detail, crs)
    labels = {label for label, found in zip(bundle.label_names, verdict.predicted, strict=True) if found}
    return None if labels and labels <= set(wishes.left_out) else Row(place, verdict, crs=crs)
