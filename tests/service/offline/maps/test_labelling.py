"""Rows in parts; tests/service/offline/maps/test_making.py makes whole maps."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from service.contract.bundle import Bundle
from service.contract.manifest import InputSpec
from service.engine.crew import Crew
from service.offline.maps import labelling
from service.offline.maps.journal import Journal
from service.offline.maps.labelling import label_windows
from service.offline.maps.plan import Wishes, plan, spec_for
from tests.kit.fakes import FakeEnsemble
from tests.kit.scenes import patchwork, write_scene


def test_parts_are_of_the_same_windows_wherever_it_goes_on(
    tmp_path: Path, colours: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(labelling, "PART_WINDOWS", 5)
    pixels_HWC, _ = patchwork(3, 4)
    pixels_HWC[:64, :64] = 0
    scenes = [str(write_scene(tmp_path / f"{at}.tif", pixels_HWC, nodata=0)) for at in range(2)]
    spec, wishes = colours.manifest.input, Wishes()
    grids = plan(scenes, spec, wishes)

    def parts(folder: str, stops: tuple[int, ...]) -> list[Any]:
        for stop in stops:
            journal = Journal(tmp_path / folder)
            with Crew(lambda: FakeEnsemble(4), 2) as crew, journal.opened({}):
                windows = label_windows(crew, colours, spec, grids, wishes, journal, 2)
                done = [count for count, _ in zip(windows, range(stop), strict=False)]
                windows.close()  # type: ignore[attr-defined]
                assert done == [*range(done[0], done[0] + len(done))] if done else True
        return [pq.read_table(part).to_pylist() for part in journal.parts]

    whole = parts("whole", (99,))
    assert [len(rows) for rows in whole] == [4, 5, 4, 5, 4]  # two windows show nothing
    assert parts("stopped", (7, 1, 0, 11, 99)) == whole
    assert parts("stopped", (99,)) == whole  # nothing is left to do


def test_windows_of_labels_that_nobody_wants_get_no_row(tmp_path: Path, colours: Bundle) -> None:
    pixels_HWC, _ = patchwork(1, 3)
    grids = plan([str(write_scene(tmp_path / "a.tif", pixels_HWC))], colours.manifest.input, Wishes())
    journal = Journal(tmp_path / "p")
    with Crew(lambda: FakeEnsemble(4), 8) as crew, journal.opened({}):
        wishes = Wishes(left_out=tuple(colours.label_names))
        list(label_windows(crew, colours, spec_for(colours, wishes), grids, wishes, journal, 1))
        assert journal.counts() == (0, 0)
    assert len(journal.parts) == 1


def test_no_windows_make_an_empty_part(tmp_path: Path, colours: Bundle) -> None:
    journal = Journal(tmp_path / "p")
    spec = InputSpec(bands=("red",), height=64, width=64)
    with Crew(lambda: FakeEnsemble(4), 8) as crew, journal.opened({}):
        assert list(label_windows(crew, colours, spec, [], Wishes(), journal, 1)) == []
        assert list(label_windows(crew, colours, spec, [], Wishes(), journal, 1)) == []
    assert len(journal.parts) == 1
    assert np.prod(pq.read_table(journal.parts[0]).shape) == 0
