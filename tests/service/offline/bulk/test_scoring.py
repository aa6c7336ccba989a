"""Whole runs, some of them ended by SIGKILL wherever they are."""

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service.contract.bundle import Bundle
from service.offline.bulk.errors import InputError, PlanError, SourceLost
from service.offline.bulk.plan import INPUTS, alone
from service.offline.bulk.scoring import OUTAGE, Job, begun, processes_for, shared_out
from service.offline.changes.differences import compare
from service.offline.changes.reading import read
from service.settings import Settings
from tests.kit.object_store import CLOSED, served
from tests.kit.serving import ROOT


def scored(source: Path, out: Path, settings: Settings, **changes: object) -> Path:
    """Run to the end; return the output."""
    job = Job(source=str(source), out=out, settings=settings, **{"part": 7, **changes})  # type: ignore[arg-type]
    with begun(job) as run:
        list(run.rows())
    return out


def files(out: Path) -> dict[str, bytes]:
    """What is there, byte for byte, but for the plan, which names this machine's paths."""
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted(out.rglob("*.parquet"))
        if "_plan" not in path.parts
    }


def test_there_is_one_row_for_each_input(settings: Settings, chips: Path, tmp_path: Path) -> None:
    out = scored(chips, tmp_path / "out", settings)
    found = duckdb.execute(
        f"SELECT name, labels, duplicate_of FROM '{out}/*.parquet' ORDER BY name"
    ).fetchall()
    assert len(found) == 39
    for name, labels, first in found:
        index = int(Path(name).stem)
        assert labels == ("reddish", "greenish", "bluish")[min(index, 38) % 3]
        assert first == ("38.png" if index == 39 else None)
    failed = pq.read_table(out / "_errors").to_pylist()
    assert [(row["name"], row["title"]) for row in failed] == [
        ("inside/07.png", "Not an accepted image format")
    ]
    assert pq.read_table(out).num_rows == 39  # what begins with an underscore is left out
    assert not compare(read(out), read(out)).appeared_NL.any()  # as `chipvote diff` does


def test_copies_across_parts_are_told_either_way(settings: Settings, chips: Path, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("path\n" + f"{chips}/00.png\n{chips}/01.png\n" * 10)
    shutil.copy(chips / "inside/01.png", chips / "01.png")
    try:
        once = scored(tmp_path / "list.csv", tmp_path / "once", settings)
        each = scored(tmp_path / "list.csv", tmp_path / "each", settings, each_copy=True)
    finally:
        (chips / "01.png").unlink()
    assert files(once) == files(each)
    firsts = pq.read_table(once)["duplicate_of"].to_pylist()
    assert firsts == [None, None, *[f"{chips}/00.png", f"{chips}/01.png"] * 9]


def test_one_file_is_made_of_the_parts(settings: Settings, chips: Path, tmp_path: Path) -> None:
    parts = scored(chips, tmp_path / "parts", settings)
    one = scored(chips, tmp_path / "one.parquet", settings)
    assert pq.read_table(one).equals(pq.read_table(parts))
    assert pq.read_table(tmp_path / "one.errors.parquet").num_rows == 1
    assert not (tmp_path / "one.parquet.parts").exists()
    before = one.stat().st_mtime_ns
    scored(chips, one, settings)
    assert one.stat().st_mtime_ns == before
    with pytest.raises(PlanError, match="--restart"):
        scored(chips, one, settings, all_members=True)


def test_another_question_is_refused_until_it_may_drop_what_is_there(
    settings: Settings, chips: Path, tmp_path: Path
) -> None:
    out = scored(chips, tmp_path / "out", settings)
    with pytest.raises(PlanError, match=r"was begun with part 7 \(now 8\)"):
        scored(chips, out, settings, part=8)
    with pytest.raises(PlanError, match=r"chips 40 \(now 20\)"):
        scored(chips / "inside", out, settings)
    elsewhere = shutil.copytree(chips, tmp_path / "elsewhere")
    with pytest.raises(PlanError, match="was begun with inputs"):
        scored(elsewhere, out, settings)
    before = files(out)
    with pytest.raises(InputError, match="no such file or folder"):
        scored(chips / "insid", out, settings, restart=True)
    assert files(out) == before  # nothing is dropped for a slip of the pen
    scored(chips / "inside", out, settings, restart=True)
    assert pq.read_table(out).num_rows == 19


def test_what_a_run_writes_is_not_its_input(settings: Settings, chips: Path, tmp_path: Path) -> None:
    one = scored(chips, tmp_path / "one.parquet", settings)
    parts = scored(chips, tmp_path / "parts", settings)
    part = next((parts / "_errors").iterdir())
    for source, out in ((one, one), (tmp_path / "one.errors.parquet", one), (part, parts)):
        with pytest.raises(PlanError, match="would be replaced by what is made of it"):
            scored(source, out, settings, restart=True)
    assert part.exists()
    assert pq.read_table(one).num_rows == 39
    again = scored(tmp_path / "one.errors.parquet", tmp_path / "two.parquet", settings, column="address")
    assert pq.read_table(again).num_rows == 0


def test_a_store_that_refuses_ends_a_run_which_then_goes_on(
    settings: Settings, chips: Path, tmp_path: Path
) -> None:
    with served(chips) as address:
        (tmp_path / "list.csv").write_text("url\n" + f"{address}/bucket/00.png\n" * (OUTAGE + 5))
        (tmp_path / "gone.csv").write_text("url\n" + f"{address}/bucket/gone.png\n" * (OUTAGE + 5))
        gone = scored(tmp_path / "gone.csv", tmp_path / "gone", settings)
        assert pq.read_table(gone / "_errors").num_rows == OUTAGE + 5  # the store answers
        (chips / CLOSED).touch()
        try:
            with pytest.raises(SourceLost, match=f"{OUTAGE} chips in a row could not be fetched"):
                scored(tmp_path / "list.csv", tmp_path / "out", settings)
            assert not list((tmp_path / "out").glob("part-*"))
            (tmp_path / "few.csv").write_text(f"url\n{address}/bucket/00.png?sig=S3CRET\n")
            few = scored(tmp_path / "few.csv", tmp_path / "few", settings)
        finally:
            (chips / CLOSED).unlink()
        (row,) = pq.read_table(few / "_errors").to_pylist()
        assert row["title"] == "Not fetched"
        assert not any("S3CRET" in text for text in row.values())
        assert not (few / INPUTS).exists()  # where it must be until then
        out = scored(tmp_path / "list.csv", tmp_path / "out", settings)
    assert pq.read_table(out).num_rows == OUTAGE + 5


def test_what_cannot_begin_says_why(settings: Settings, chips: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no chip"):
        scored(tmp_path / "empty", tmp_path / "out", settings)
    with pytest.raises(PlanError, match="something else in it"):
        scored(chips, chips, settings)
    with alone(tmp_path / "out"), pytest.raises(PlanError, match="another run"):
        scored(chips, tmp_path / "out", settings)


def test_what_others_wrote_is_not_dropped(settings: Settings, chips: Path, tmp_path: Path) -> None:
    lists = tmp_path / "list.parquet"
    pq.write_table(pa.table({"path": [str(chips / "00.png")]}).replace_schema_metadata(None), lists)
    for junk in (lists.read_bytes(), b"no Parquet"):
        lists.write_bytes(junk)
        for restart in (False, True):
            with pytest.raises(PlanError, match="not by `chipvote score`"):
                scored(lists, lists, settings, restart=restart)
        assert lists.read_bytes() == junk


def test_no_room_for_temporary_files_is_said(settings: Settings, chips: Path, tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(PlanError, match="TMPDIR"):
            scored(chips / "00.png", tmp_path / "out", settings)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.slow
def test_runs_that_are_killed_go_on_to_the_same_bytes(
    colours: Bundle, settings: Settings, chips: Path, tmp_path: Path
) -> None:
    expected = files(scored(chips, tmp_path / "whole", settings, part=1))
    out = tmp_path / "out"
    command = [sys.executable, "-m", "service.cli", "score", str(chips), "--out", str(out), "--part", "1"]
    environment = {**os.environ, "CHIPVOTE_BUNDLE": str(colours.folder), "CHIPVOTE_DEVICE": "cpu"}
    for how, code in [(signal.SIGKILL, -9), (signal.SIGTERM, 130)]:
        before, until_s = len(list(out.glob("part-*"))), time.monotonic() + 300
        run = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)
        while len(list(out.glob("part-*"))) == before and time.monotonic() < until_s:
            time.sleep(0.001)
        run.send_signal(how)
        assert run.wait() == code
    assert files(out) != expected
    assert subprocess.run(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL).returncode == 1
    assert files(out) == expected


def test_processes_have_processors_and_memory(colours: Bundle) -> None:
    assert processes_for(colours, Settings(device="cpu", threads=2)) == 1
    assert processes_for(colours, Settings(device="cpu", threads=20)) == 2
    assert shared_out(Settings(threads=20), 3).threads == 6
