import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service.offline.maps.journal import Journal, JournalError

FACTS: dict[str, Any] = {"bundle": "a", "stride": 1.0, "scenes": [["x.tif", 1, 2]]}


def part(*errors: str | None) -> pa.RecordBatch:
    return pa.record_batch({"error": pa.array(errors, pa.string())})


def test_it_goes_on_where_it_was(tmp_path: Path) -> None:
    for count in range(3):
        journal = Journal(tmp_path / "map.parquet.partial")
        with journal.opened(FACTS):
            assert journal.count == count
            journal.add(part(None, "bad" if count else None))
    assert [pq.read_table(file)["error"].to_pylist() for file in journal.parts] == [
        [None, None],
        [None, "bad"],
        [None, "bad"],
    ]
    assert journal.counts() == (6, 2)


def test_parts_of_another_map_are_kept_and_it_is_refused(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "p")
    with journal.opened(FACTS):
        journal.add(part(None))
    with (
        pytest.raises(JournalError, match=r"begun otherwise \(stride\)"),
        journal.opened({**FACTS, "stride": 0.5}),
    ):
        pass
    with journal.opened(FACTS):
        assert journal.count == 1


def test_without_a_part_nothing_is_lost_by_another(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "p")
    (tmp_path / "p").mkdir()  # a kill may come this early, or in the middle of a word
    (tmp_path / "p" / "map.json").write_text('{"bund')
    with journal.opened(FACTS):
        pass
    with journal.opened({**FACTS, "stride": 0.5}):
        journal.add(part())
    assert json.loads((tmp_path / "p" / "map.json").read_text())["stride"] == 0.5


def test_only_one_process_makes_a_map(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "p")
    with (
        journal.opened(FACTS),
        pytest.raises(JournalError, match="another process"),
        Journal(tmp_path / "p").opened(FACTS),
    ):
        pass


def test_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "p").touch()
    with pytest.raises(JournalError, match="in the way"), Journal(tmp_path / "p").opened(FACTS):
        pass


def test_whenever_removal_stops_the_beginning_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path / "p")
    with journal.opened(FACTS):
        for _ in range(3):
            journal.add(part(None))
        unlink, left = Path.unlink, []

        def watched(file: Path, missing_ok: bool = False) -> None:
            unlink(file, missing_ok)
            left.append([part.name for part in journal.parts])

        monkeypatch.setattr(Path, "unlink", watched)
        names = [part.name for part in journal.parts]
        journal.remove()
    assert left == [names[:2], names[:1], []]
    assert not journal.folder.exists()
