import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from inspect import signature
from pathlib import Path

import pytest
from PIL import Image

from service.contract.bundle import load
from service.contract.version import __version__
from service.engine.ensemble import Ensemble
from tests.kit import networks, stripes
from tests.kit.fakes import BLUE, RED, make_bundle, picture
from training import cli
from training.config.recipes import RECIPES
from training.data.dataset import input_spec, open_dataset
from training.run.folder import Run, Source

Console = Callable[..., tuple[int, str]]


@pytest.fixture
def console(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Console:
    """Run the console script in this process; return its exit code and what it printed."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # the script sets it where it is not set
    recipe = replace(stripes.ONE_FROZEN, fold_members="separate")
    monkeypatch.setitem(RECIPES, "tiny", lambda: recipe)

    def run(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["chipvote-train", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        captured = capsys.readouterr()
        return int(stopped.value.code or 0), captured.out + captured.err

    return run


def test_one_command_leads_from_chips_to_an_installed_bundle(
    console: Console, tiny_source: Source, tmp_path: Path
) -> None:
    out, target = tmp_path / "run", tmp_path / "models" / "tiny"
    target.parent.mkdir()
    arguments = (
        "--recipe",
        "tiny",
        "--data",
        tiny_source.data,
        "--weights",
        tiny_source.weights,
        "--out",
        out,
    )
    assert console("run", *arguments, "--version", "7")[0] == 0
    assert console("install", out, target)[0] == 0
    bundle = load(target)
    assert (bundle.manifest.name, bundle.manifest.version) == ("tiny", "7")
    assert [member.name for member in bundle.manifest.members] == ["test_resnet-fold0", "test_resnet-fold1"]
    assert bundle.manifest.decision.label_quorum(0) == 2
    for member in bundle.manifest.members:  # each checked on the chips it has not seen
        assert member.graphs["float32"].check.chips == stripes.CHIPS // 2
    Ensemble(bundle, device="cpu").self_test()

    before = {file: file.stat().st_mtime_ns for file in out.rglob("fits/*/*")}
    assert console("run", *arguments, "--name", "again")[0] == 0
    assert {file: file.stat().st_mtime_ns for file in out.rglob("fits/*/*")} == before
    assert load(out / "bundle").manifest.name == "again"

    assert console("report", out)[0] == 0
    assert "<h1>tiny on colours</h1>" in (out / "report.html").read_text(encoding="utf-8")

    code, text = console("run", "--recipe", "heads", *arguments[2:])
    assert code == 1
    assert "holds a run with" in text
    assert "use another --out" in text

    code, _ = console("score", target, "--data", tiny_source.data, "--out", tmp_path / "labels.csv")
    assert code == 0
    assert len((tmp_path / "labels.csv").read_text().splitlines()) == 1 + stripes.CHIPS
    code, text = console("score", target, "--data", tiny_source.data, "--precision", "int8")
    assert code == 1
    assert "has float32, not int8" in text


@pytest.mark.parametrize("stage", ["fit", "predict", "tune", "evaluate", "report", "export"])
def test_every_stage_says_which_one_comes_before_it(
    console: Console, tiny_source: Source, tmp_path: Path, stage: str
) -> None:
    out = tmp_path / "run"
    code, text = console(stage, out)
    assert code == 1
    assert "start with `chipvote-train run" in text
    if stage == "fit":
        return
    code, _ = console(
        "prepare",
        "--recipe",
        "tiny",
        "--data",
        tiny_source.data,
        "--weights",
        tiny_source.weights,
        "--out",
        out,
    )
    assert code == 0
    code, text = console(stage, out)
    assert code == 1
    before = {
        "predict": "fit",
        "tune": "predict",
        "evaluate": "predict",
        "report": "evaluate",
        "export": "tune",
    }[stage]
    assert f"run `chipvote-train {before}" in text


def test_a_submission_is_written_and_checked(console: Console, tmp_path: Path) -> None:
    bundle, out = make_bundle(tmp_path / "bundle").folder, tmp_path / "submission.csv"
    folders: list[Path] = []
    for index, colour in enumerate((RED, BLUE)):
        folders.append(tmp_path / f"part{index}")
        folders[-1].mkdir()
        picture(colour).save(folders[-1] / f"test_{index}.png")
    chips = [part for folder in folders for part in ("--chips", folder)]
    assert console("submission", bundle, *chips, "--out", out)[0] == 0
    assert out.read_text() == "image_name,tags\ntest_0,reddish\ntest_1,bluish\n"
    assert console("submission", bundle, "--check", out, "--sample", out)[0] == 0

    code, text = console("submission", bundle, "--check", out, "--chips", folders[0])
    assert code == 1
    assert "1 names that were not asked for: test_1" in text
    code, text = console("submission", bundle, *chips)
    assert code == 1
    assert "name the chips with --chips and the file to write with --out" in text

    (folders[0] / "test_5.png").write_bytes(b"no picture")
    assert console("submission", bundle, *chips, "--out", out)[0] == 1
    assert console("submission", bundle, *chips, "--out", out, "--skip-bad")[0] == 0
    assert "test_5,\n" in out.read_text()


def test_a_broken_bundle_is_an_expected_failure(console: Console, tmp_path: Path) -> None:
    code, text = console("score", tmp_path, "--data", tmp_path)
    assert code == 1
    assert text.startswith(f"error: {tmp_path}/bundle.json: cannot be read")
    assert len(text.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["run", "--recipe", "none", "--data", "d", "--out", "o"],
            "no recipe 'none'; there are planet, planet-single",
        ),
        (["run", "--data", "a/[/b]/c", "--out", "o"], "a/[/b]/c: no such folder"),
    ],
)
def test_an_expected_failure_is_one_line(tmp_path: Path, arguments: list[str], message: str) -> None:
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", "from training.cli import main; main()", *arguments],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(root)},
        timeout=120,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("error: ")
    assert message in done.stderr


def test_pytorch_has_as_many_threads_as_a_quota_pays_for(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted before PyTorch is imported, which reads the variable then; one that is set stays."""
    monkeypatch.setattr(cli, "processors", lambda: 7)
    assert console("--help")[0] == 0
    assert os.environ["OMP_NUM_THREADS"] == "1"
    monkeypatch.setattr(cli, "processors", lambda: 1)
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert console("--help")[0] == 0
    done = subprocess.run(
        [sys.executable, "-c", "import torch; print(torch.get_num_threads())"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "1\n"


def test_audit_feeds_exclude_and_the_choice_of_tiffs(
    console: Console, shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planet, audited = shared_data / "planet", tmp_path / "audit"
    recipe = replace(RECIPES["tiny"](), height_px=256, width_px=256)
    monkeypatch.setitem(RECIPES, "tiny", lambda: recipe)
    tif, jpg = planet / "tif", planet / "jpg"
    assert console("audit", "--tif", tif, "--jpg", jpg, "--out", audited)[0] == 0
    names = sorted(path.stem for path in tif.iterdir())
    stripes.write_tags(
        tmp_path / "tags.csv", {name: ["clear", "primary"][: 1 + len(name) % 2] for name in names}
    )
    run = ("prepare", "--recipe", "tiny", "--data", planet, "--tags", tmp_path / "tags.csv", "--chips", jpg)
    lists = {
        "plain": (),
        "excluded": ("--exclude", audited / "exclude.csv"),
        "mixed": ("--tif", tif, "--audit", audited / "audit.csv"),
    }
    for name, options in lists.items():
        assert console(*run, "--out", tmp_path / name, *options)[0] == 0
    plain, excluded, mixed = (open_dataset(Run.open(tmp_path / name)) for name in lists)
    shifted = {f"train_{number}" for number in (0, 4, 7, 8, 9, 13, 14)}
    assert set(excluded.names) == set(names) - shifted
    changed_N = (plain.chips_NHWC != mixed.chips_NHWC).any(axis=(1, 2, 3))
    assert {name for name, changed in zip(mixed.names, changed_N, strict=True) if not changed} == shifted


def test_version(console: Console) -> None:
    assert console("--version") == (0, f"chipvote-train {__version__}\n")


def test_grey_chips_are_taken_where_asked(console: Console, tmp_path: Path) -> None:
    data = stripes.write_data(tmp_path / "data", 12)
    path = data / "chips" / "chip_0.png"
    Image.open(path).convert("L").save(path)
    arguments = (
        "--recipe",
        "tiny",
        "--data",
        data,
        "--weights",
        networks.write_weights(tmp_path / "weights"),
    )
    code, text = console("prepare", *arguments, "--out", tmp_path / "colours")
    assert code == 1
    assert "the PNG is grey, and this bundle was trained on colours" in text
    assert "or train with --grey" in text
    assert console("prepare", *arguments, "--out", tmp_path / "grey", "--grey")[0] == 0
    run = Run.open(tmp_path / "grey")
    assert input_spec(run).grey
    chip_HWC = open_dataset(run).chips_NHWC[0]
    assert (chip_HWC == chip_HWC[..., :1]).all()


def test_run_takes_all_that_prepare_takes() -> None:
    taken = {command: signature(getattr(cli, command)).parameters for command in ("prepare", "run")}
    assert list(taken["run"]) == [*taken["prepare"], "name", "version", "workers"]
