import json
import os
from pathlib import Path

import httpx2
import numpy as np
import pytest
import tifffile

from service.client import progress
from service.contract.bundle import Bundle
from service.contract.rules import Cooccurrence
from tests.kit.console import chipvote
from tests.kit.fakes import (
    BLUE,
    MAJORITY,
    MEMBERS,
    RAW_SCALE,
    RED,
    make_bundle,
    make_raw_bundle,
    picture,
)


def test_predict_prints_a_table(chips: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert chipvote("predict", chips) == 0
    output = capsys.readouterr()
    assert "reddish 0.98" in output.out
    assert "bluish 0.98" in output.out
    assert output.err == ""


def test_predict_puts_the_files_of_a_chips_bands_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = make_raw_bundle(tmp_path / "bundle").folder
    chips = tmp_path / "chips"
    chips.mkdir()
    for name, colour in (("a", RED), ("b", BLUE)):
        for band, value in zip(("red", "green", "blue", "nir"), (*colour, 0), strict=True):
            pixels_HW = np.full((40, 40), value * RAW_SCALE, np.uint16)
            tifffile.imwrite(chips / f"{name}_{band}.tif", pixels_HW)
    picture(RED).save(chips / "a_thumbnail.png")
    (chips / "b_red.tif").rename(chips / "b_scl.tif")
    assert chipvote("predict", "--json", "--bundle", bundle, chips) == 1
    output = capsys.readouterr()
    assert "left out 2 files beside bands that are none: a_thumbnail.png, b_scl.tif" in output.err
    red, lacking = json.loads(output.out)["predictions"]
    assert (red["filename"], red["labels"]) == (str(chips / "a"), ["reddish"])
    assert lacking["filename"] == str(chips / "b")
    assert "files of blue, green, nir, and none of red" in lacking["error"]["detail"]


def test_predict_labels_what_people_see_in_a_folder(chips: Path, capsys: pytest.CaptureFixture[str]) -> None:
    companion = chips / "._a.png"  # as macOS writes one beside each file
    companion.write_bytes(bytes.fromhex("00051607"))
    assert chipvote("predict", "--json", chips) == 0
    answered = json.loads(capsys.readouterr().out)["predictions"]
    assert [Path(one["filename"]).name for one in answered] == ["a.png", "b.png"]
    assert chipvote("predict", companion) == 1  # named itself


def test_predict_prints_the_json_of_the_http_service(
    chips: Path, client: httpx2.Client, capsys: pytest.CaptureFixture[str]
) -> None:
    files = sorted(chips.iterdir())
    assert chipvote("predict", "--json", "--all-members", *files) == 0
    printed = json.loads(capsys.readouterr().out)
    served = client.post("/predict", files=[("chip", (str(file), file.read_bytes())) for file in files])
    for prediction in served.json()["predictions"]:
        assert prediction["filename"].endswith(".png")
    assert printed == served.json()


def test_predict_by_a_service_prints_what_it_answers(
    chips: Path, client: httpx2.Client, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CHIPVOTE_BUNDLE", "nothing/is/here")  # it needs none
    url = str(client.base_url)
    assert chipvote("predict", "--url", url, chips) == 0
    assert "reddish 0.98" in capsys.readouterr().out
    (chips / "c.png").write_bytes(b"broken")
    assert chipvote("predict", "--url", url, "--json", chips) == 1
    printed = json.loads(capsys.readouterr().out)
    files = sorted(chips.iterdir())
    served = client.post("/predict", files=[("chip", (str(file), file.read_bytes())) for file in files])
    assert printed == served.json()


def test_a_name_that_is_no_text_is_printed_all_the_same(
    chips: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    (chips / "a.png").rename(chips / os.fsdecode(b"\xff.png"))
    assert chipvote("predict", chips) == 0
    assert "?.png" in capsys.readouterr().out.replace("\n", "")
    assert chipvote("predict", "--json", chips) == 0
    names = [prediction["filename"] for prediction in json.loads(capsys.readouterr().out)["predictions"]]
    assert names == [str(file) for file in sorted(chips.iterdir())]


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["--url", "http://127.0.0.1:9"], 1, "is the service running there?"),
        (["--url", "127.0.0.1:8000"], 2, "no address of a service"),
        (["--url", "http://127.0.0.1:9", "--all-members"], 2, "its own bundle and settings"),
    ],
)
def test_a_service_that_cannot_be_asked_is_told_in_words(
    chips: Path, arguments: list[str], status: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert chipvote("predict", *arguments, chips) == status
    error = " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert says in error
    assert status == 2 or error.startswith("chipvote: http://127.0.0.1:9/: no answer")


def test_predict_stops_early_where_the_rule_allows_it(
    chips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def members(*options: str | Path) -> tuple[list[list[str]], set[int]]:
        assert chipvote("predict", "--json", chips, *options) == 0
        predictions = json.loads(capsys.readouterr().out)["predictions"]
        return [p["labels"] for p in predictions], {p["members"] for p in predictions}

    labels = [["reddish"], ["bluish"]]
    assert members() == (labels, {2})
    assert members("--all-members") == (labels, {MEMBERS})
    together = MAJORITY.model_copy(update={"cooccurrence": Cooccurrence(exclusive=((0, 1, 2, 3),))})
    assert members("--bundle", make_bundle(tmp_path / "together", rule=together).folder) == (
        labels,
        {MEMBERS},
    )


def test_a_file_that_cannot_be_used_makes_status_1(chips: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = chips / "c.png"
    bad.write_bytes(b"broken")
    assert chipvote("predict", "--json", chips, chips / "missing.jpg") == 1
    predictions = json.loads(capsys.readouterr().out)["predictions"]
    assert ["error" in prediction for prediction in predictions] == [False, False, True, True]
    assert chipvote("predict", bad) == 1
    assert "Not an accepted" in capsys.readouterr().out


def test_a_folder_without_images_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert chipvote("predict", tmp_path) == 1
    assert "no image (.jpg" in capsys.readouterr().err


def test_a_long_run_shows_its_progress_on_stderr(
    chips: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "PATIENCE_S", -1)
    monkeypatch.setattr(progress, "REDRAW_S", 0)
    monkeypatch.setenv("FORCE_COLOR", "1")  # what makes rich believe in a terminal
    assert chipvote("predict", "--json", chips) == 0
    output = capsys.readouterr()
    assert "left" in output.err
    json.loads(output.out)


def test_labels(capsys: pytest.CaptureFixture[str], client: httpx2.Client) -> None:
    assert chipvote("labels") == 0
    output = capsys.readouterr().out
    assert "reddish" in output and "0.750" in output and "–" in output
    assert chipvote("labels", "--json") == 0
    assert json.loads(capsys.readouterr().out) == client.get("/labels").json()


def test_check_tests_every_precision(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_bundle(tmp_path, precisions=("float32", "int8"))
    assert chipvote("check", tmp_path) == 0
    output = capsys.readouterr().out
    assert "every file is as sealed" in output
    assert "float32 on cpu" in output and "int8 on cpu" in output


def test_check_without_a_folder_takes_the_default_bundle(
    colours: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    assert chipvote("check") == 0
    assert f"{colours.manifest.name} {colours.manifest.version}: every file" in capsys.readouterr().out


def test_check_refuses_a_bundle_that_answers_otherwise(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_bundle(tmp_path, golden_flip=True)
    assert chipvote("check", tmp_path) == 1
    error = capsys.readouterr().err
    assert error.startswith("chipvote: ") and "golden.npz" in error
    assert error.count("\n") == 1


def test_labels_show_who_has_a_say_and_how_much(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = ((2, 1, 1, 1), (0, 1, 1, 1), (1, 1, 1, 1))
    rule = MAJORITY.model_copy(update={"weights": weights})
    folder = make_bundle(tmp_path / "weighted", rule=rule).folder
    monkeypatch.setenv("COLUMNS", "100")
    assert chipvote("labels", "--bundle", folder) == 0
    printed = capsys.readouterr().out
    assert "rule vote" in printed
    assert "│ 2      │ 0.500×2 0.500  " in printed
    assert "│ 2      │ 0.500 0.500 0.500 " in printed
