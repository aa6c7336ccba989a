import csv
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tests.kit import stripes
from training.run.files import allocated_array, undamaged, unguarded, write_csv, write_json
from training.run.folder import Run, Source

SOURCE = Source(data=Path("chips"), tags=Path("tags.csv"), skip_bad=True)


def test_a_failed_rewrite_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "facts.json"
    write_json(path, {"größe": 1})
    with pytest.raises(TypeError):
        write_json(path, {"folder": tmp_path})
    assert json.loads(path.read_text(encoding="utf-8")) == {"größe": 1}


def test_a_table_is_whole_or_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    write_csv(path, ("image_name", "reason"), [("größe", 'says "no", twice\nat least'), ("b", 3)])
    before = path.read_bytes()
    assert before.startswith(b"image_name,reason\n")
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.reader(stream))
    assert rows == [["image_name", "reason"], ["größe", 'says "no", twice\nat least'], ["b", "3"]]

    def broken() -> Iterator[tuple[str, int]]:
        yield "c", 1
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        write_csv(path, ("image_name", "reason"), broken())
    assert [(file, file.read_bytes()) for file in tmp_path.iterdir()] == [(path, before)]


def test_a_run_is_taken_up_with_the_same_settings_only(tmp_path: Path) -> None:
    run = Run.start(tmp_path / "run", stripes.CONFIG, SOURCE)
    assert Run.open(tmp_path / "run") == run
    assert Run.start(tmp_path / "run", stripes.CONFIG, SOURCE) == run
    write_json(tmp_path / "run" / "dataset.json", {})  # the chips have been read
    changes = [
        ("seed", replace(stripes.CONFIG, seed=1), SOURCE),
        ("skip_bad", stripes.CONFIG, replace(SOURCE, skip_bad=False)),
    ]
    for key, config, source in changes:
        with pytest.raises(ValueError, match=rf"holds a run with another {key}; use another --out"):
            Run.start(tmp_path / "run", config, source)


def test_settings_may_change_until_the_chips_have_been_read(tmp_path: Path) -> None:
    Run.start(tmp_path / "run", stripes.CONFIG, replace(SOURCE, skip_bad=False))
    run = Run.start(tmp_path / "run", stripes.CONFIG, SOURCE)
    assert Run.open(tmp_path / "run") == run


def test_a_result_is_fresh_while_nothing_it_was_made_from_is_newer(tmp_path: Path) -> None:
    run = Run(folder=tmp_path, config=stripes.CONFIG, source=SOURCE)
    result, first, second = (tmp_path / name for name in ("result", "first", "second"))
    first.touch()
    second.touch()
    assert not run.is_fresh(result, [first, second])
    result.touch()
    assert run.is_fresh(result, [first, second])
    later_s = result.stat().st_mtime + 1
    os.utime(second, (later_s, later_s))
    assert not run.is_fresh(result, [first, second])


def test_a_folder_without_a_run_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not there; start with `chipvote-train"):
        Run.open(tmp_path)


@pytest.mark.parametrize("text", ["{", "{}", '{"config": {}, "source": {}}'])
def test_a_run_file_of_another_version_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(ValueError, match="was changed, or written by another version") as error:
        Run.open(tmp_path)
    assert "pydantic" not in str(error.value)


def test_two_commands_do_not_work_in_one_folder(tmp_path: Path) -> None:
    run = Run.start(tmp_path / "run", stripes.CONFIG, SOURCE)
    with (
        run.alone(),
        pytest.raises(ValueError, match="another chipvote-train works in this folder"),
        run.alone(),
    ):
        pass
    with run.alone() as again:
        assert again is run


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "arrays.npz"
    for content in (b"", b"half"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"arrays.npz: is damaged \(.+\)"), undamaged(path):
            np.load(path, allow_pickle=False)


def test_need_names_the_stage_to_run(tmp_path: Path) -> None:
    run = Run.start(tmp_path / "run", stripes.CONFIG, SOURCE)
    with pytest.raises(ValueError, match=r"out_of_fold.npz: not there; run `chipvote-train predict"):
        run.need("out_of_fold.npz", "predict")
    assert run.need("run.json", "prepare") == run.folder / "run.json"
    with pytest.raises(ValueError, match=r"net/fold1.*run `chipvote-train fit"):
        run.need_fit("net", 1)
    fit = run.fit_path("net", 1)
    fit.parent.mkdir(parents=True)
    fit.touch()
    assert run.need_fit("net", 1) == fit


def test_weights_are_a_file_of_the_given_folder_or_timms_own(tmp_path: Path) -> None:
    run = Run(folder=tmp_path, config=stripes.CONFIG, source=SOURCE)
    assert run.weights_path("net") is None
    run = replace(run, source=replace(SOURCE, weights=tmp_path))
    with pytest.raises(ValueError, match=r"net.safetensors: not there; add it, or leave --weights away"):
        run.weights_path("net")
    (tmp_path / "net.safetensors").touch()
    assert run.weights_path("net") == tmp_path / "net.safetensors"


def test_an_array_takes_its_space_at_once(tmp_path: Path) -> None:
    path = tmp_path / "chips.npy"
    array = allocated_array(path, (1000, 1000), np.uint8)
    assert path.stat().st_blocks * 512 >= 1_000_000  # a file with holes has hardly any
    array[5, 5] = 7
    array.flush()
    read = np.load(path)
    assert read.shape == (1000, 1000)
    assert (read.sum(), read[5, 5]) == (7, 7)


def test_an_array_that_the_disk_cannot_hold_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1999))
    with pytest.raises(OSError, match="make room on the disk"):
        allocated_array(tmp_path / "chips.npy", (1000,), np.float16)
    assert not (tmp_path / "chips.npy").exists()


FORMULAS = ["=1+1", "+cmd", "-x", "@SUM(A1)", "\t=1", "'=1", "''=1", '=HYPERLINK("x","y")', "-1+2"]


def test_text_that_a_spreadsheet_would_run_is_guarded_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    plain = ["a", "-1.5", "+2e-3", "'a", "a=b", "", "é"]
    write_csv(path, ("image_name", "=tags"), [(text, -0.5) for text in [*FORMULAS, *plain]])
    with path.open(newline="", encoding="utf-8") as stream:
        cells = [row[0] for row in csv.reader(stream)]
    assert cells == ["image_name", *(f"'{text}" for text in FORMULAS), *plain]
    assert [unguarded(cell) for cell in cells[1:]] == [*FORMULAS, *plain]
    assert "-0.5" in path.read_text()
