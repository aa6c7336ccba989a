"""Shape suffixes: M members, L labels."""

import importlib.metadata
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import onnx
import pytest

from service.contract import bundle as contract
from service.contract.bundle import Bundle
from service.contract.errors import BundleError
from service.contract.manifest import Precision
from service.engine.ensemble import Ensemble
from tests.kit import stripes
from training.config.schema import DecisionConfig
from training.data.dataset import Dataset
from training.data.out_of_fold import OutOfFold
from training.decision.rule import read_rule, tune_rule
from training.decision.tune import tune
from training.evaluation.evaluate import evaluate, read_scores
from training.export.export import export, install
from training.export.saturation import check_bounded
from training.report.report import report
from training.run.folder import Run


def test_the_service_loads_the_bundle_and_finds_it_healthy(tiny_bundle: Bundle) -> None:
    assert contract.load(tiny_bundle.folder) == tiny_bundle
    for precision in get_args(Precision):
        ensemble = Ensemble(tiny_bundle, device="cpu", precision=precision)
        ensemble.self_test()
        assert ensemble.precision == precision


def test_the_bundle_holds_what_the_manifest_names_and_the_card(tiny_bundle: Bundle) -> None:
    names = {file.name for file in tiny_bundle.folder.iterdir()}
    graphs = {graph.file.path for member in tiny_bundle.manifest.members for graph in member.graphs.values()}
    assert len(graphs) == 6
    assert names == graphs | {"bundle.json", "golden.npz", "out_of_fold.npz", "README.md"}
    assert (tiny_bundle.folder / "README.md").read_text().startswith("# tiny 0.0.1\n")


def test_int8_graphs_are_bounded_and_say_so(tiny_bundle: Bundle) -> None:
    for member in tiny_bundle.manifest.members:
        assert {precision: graph.bounded for precision, graph in member.graphs.items()} == {
            "float32": False, "float16": False, "int8": True,
        }  # fmt: skip
        check_bounded(onnx.load(tiny_bundle.graph_path(member, "int8")))


def test_the_rule_can_be_derived_again_from_the_bundle_alone(
    exported: tuple[Run, Bundle], tiny_dataset: Dataset
) -> None:
    run, bundle = exported
    assert bundle.manifest.out_of_fold is not None
    with np.load(bundle.folder / bundle.manifest.out_of_fold.path, allow_pickle=False) as archive:
        arrays = dict(archive)
    assert arrays.pop("names_N").tolist() == tiny_dataset.names
    assert set(arrays) == {"probs_ANL", "targets_NL", "folds_N", "speaks_AL"}  # what bundles have always held
    found = OutOfFold.restored(arrays)
    assert found.probs_ANL.shape == (len(run.config.members), len(tiny_dataset), len(bundle.label_names))
    np.testing.assert_array_equal(found.targets_NL, tiny_dataset.targets_NL)
    assert tune_rule(found, run.config).for_members(1) == bundle.manifest.decision


def test_out_of_fold_predictions_are_sealed(tiny_bundle: Bundle, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny_bundle.folder, tmp_path / "bundle")
    (copy / "out_of_fold.npz").write_bytes(b"others")
    with pytest.raises(BundleError, match=r"out_of_fold\.npz: it has 6 bytes"):
        contract.load(copy)


def test_the_manifest_says_what_was_trained_and_tuned(
    exported: tuple[Run, Bundle], tiny_dataset: Dataset
) -> None:
    run, bundle = exported
    manifest = bundle.manifest
    assert (manifest.name, manifest.version, manifest.description) == ("tiny", "0.0.1", "Stripes.")
    assert (manifest.input.height, manifest.input.width) == (stripes.SIZE_PX, stripes.SIZE_PX)
    assert bundle.label_names == stripes.LABELS
    shares = [label.prevalence for label in manifest.labels]
    assert shares == pytest.approx(tiny_dataset.targets_NL.mean(axis=0))
    assert {label.group for label in manifest.labels} == {"common"}
    assert manifest.decision == read_rule(run).rule
    assert manifest.scores == read_scores(run)["cross-fitted"]
    for member in manifest.members:
        for graph in member.graphs.values():
            assert graph.check.chips == stripes.CHIPS


def test_the_provenance_is_enough_to_make_it_again(
    exported: tuple[Run, Bundle], tiny_dataset: Dataset
) -> None:
    provenance = exported[1].manifest.provenance
    assert (provenance.dataset, provenance.chips) == ("colours", stripes.CHIPS)
    assert provenance.dataset_sha256 == tiny_dataset.digest
    recipe = stripes.CONFIG.to_json()
    del recipe["about"]
    assert json.loads(json.dumps(provenance.recipe)) == json.loads(json.dumps(recipe))
    assert {"torch", "timm", "onnx", "onnxruntime", "numpy"} <= provenance.versions.keys()
    for name, version in provenance.versions.items():
        assert version == importlib.metadata.version(name)
    assert (provenance.licence, provenance.sources) == ("CC0-1.0", ("Chips: drawn for the test.",))


def test_golden_chips_show_nothing_of_the_data(tiny_bundle: Bundle, tiny_dataset: Dataset) -> None:
    for chip_HWC in tiny_bundle.golden.chips_GHWC:
        assert not (tiny_dataset.chips_NHWC == chip_HWC).all(axis=(1, 2, 3)).any()


def test_a_second_export_writes_the_same_graphs_without_making_them(
    exported: tuple[Run, Bundle], tmp_path: Path, quick_export: list[str]
) -> None:
    run = stripes.copy_of(exported[0], tmp_path / "run")
    again = export(run, name="other", version="2")
    assert quick_export == []
    assert (again.manifest.name, again.manifest.version) == ("other", "2")
    assert again.manifest.members == exported[1].manifest.members
    assert again.folder == run.folder / "bundle"


def test_an_interrupted_export_leaves_no_bundle_and_goes_on(
    trained: Run, tmp_path: Path, quick_export: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = stripes.copy_of(trained, tmp_path / "run")

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("training.export.export.candidates", stop)
        with pytest.raises(KeyboardInterrupt):
            export(run, name="tiny", version="1")
    assert not (run.folder / "bundle").exists()
    assert len(quick_export) == 2
    bundle = export(run, name="tiny", version="1")
    assert len(quick_export) == 2
    assert not (run.folder / "bundle-partial").exists()
    Ensemble(bundle, device="cpu").self_test()


def test_a_failing_check_writes_no_bundle_and_keeps_the_old_one(
    exported: tuple[Run, Bundle], tmp_path: Path, quick_export: list[str]
) -> None:
    run = stripes.copy_of(exported[0], tmp_path / "run")
    (run.folder / "members" / "test_byobnet.json").unlink()
    shutil.copyfile(run.fit_path("test_byobnet", 1), run.fit_path("test_byobnet", 0))
    with pytest.raises(ValueError, match=r"test_byobnet.float32.onnx on 64 chips: probabilities differ"):
        export(run, name="tiny", version="2")
    assert contract.load(run.folder / "bundle").manifest.version == "0.0.1"
    shutil.rmtree(run.folder / "bundle")
    with pytest.raises(ValueError, match="probabilities differ"):
        export(run, name="tiny", version="2")
    assert not list(run.folder.glob("bundle*"))


def test_a_vote_is_exported_with_its_members_order(exported: tuple[Run, Bundle]) -> None:
    planned = exported[1].manifest.early_exit
    assert planned and sorted(planned.order) == [0, 1]
    assert (planned.chips, min(planned.costs)) == (stripes.CHIPS, 1)
    # Two members have a majority only together, and one alone can keep it away from every label.
    assert 1 <= planned.mean_members <= 2 and 0 < planned.cost_share <= 1


@pytest.mark.parametrize("rule", ["blend", "expected-f"])
def test_every_rule_is_exported_and_served_as_it_was_tuned(
    exported: tuple[Run, Bundle],
    tmp_path: Path,
    quick_export: list[str],
    rule: Literal["blend", "expected-f"],
) -> None:
    run = stripes.copy_of(exported[0], tmp_path / "run")
    decision = DecisionConfig(rule=rule, shrinkage=1.0, cooccurrence=True)
    run = replace(run, config=replace(run.config, decision=decision))
    tune(run)
    evaluate(run)
    bundle = export(run, name="other", version="1")
    assert bundle.manifest.decision == read_rule(run).rule
    assert bundle.manifest.decision.rule == rule
    assert bundle.manifest.early_exit is None
    for precision in get_args(Precision):
        Ensemble(bundle, device="cpu", precision=precision).self_test()


def test_installing_verifies_and_replaces(tiny_bundle: Bundle, tmp_path: Path) -> None:
    target = tmp_path / "models" / "tiny"
    shutil.copytree(tiny_bundle.folder, target)
    (target / "old.onnx").touch()
    install(tiny_bundle.folder, target)
    assert contract.load(target).manifest == tiny_bundle.manifest
    assert not (target / "old.onnx").exists()
    assert [folder.name for folder in target.parent.iterdir()] == ["tiny"]

    broken = tmp_path / "broken"
    shutil.copytree(tiny_bundle.folder, broken)
    (broken / "test_resnet.int8.onnx").write_bytes(b"cut short")
    with pytest.raises(BundleError, match=r"test_resnet.int8.onnx"):
        install(broken, target)
    assert contract.load(target).manifest == tiny_bundle.manifest


def test_installing_makes_a_folder_but_never_replaces_another_kind(
    tiny_bundle: Bundle, tmp_path: Path
) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "me.jpg").touch()
    with pytest.raises(ValueError, match="is not empty and no bundle"):
        install(tiny_bundle.folder, tmp_path / "photos")
    assert (tmp_path / "photos" / "me.jpg").exists()
    (tmp_path / "empty").mkdir()
    for name in ("empty", "new"):
        install(tiny_bundle.folder, tmp_path / name)
        assert contract.load(tmp_path / name).manifest == tiny_bundle.manifest


def test_the_bundle_has_the_report_without_chips(
    exported: tuple[Run, Bundle], tmp_path: Path, quick_export: list[str]
) -> None:
    assert not (exported[1].folder / "report.html").exists()  # none was written in that run
    run = stripes.copy_of(exported[0], tmp_path / "run")
    report(run)
    bundle = export(run, name="tiny", version="0.0.1")
    page = (bundle.folder / "report.html").read_text(encoding="utf-8")
    assert page == (run.folder / "report-without-chips.html").read_text(encoding="utf-8")
