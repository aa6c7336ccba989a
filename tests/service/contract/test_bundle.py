import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.contract.bundle import MANIFEST, Bundle, load, reference, seal
from service.contract.errors import BundleError
from service.contract.manifest import EarlyExit
from service.contract.rules import Cooccurrence
from tests.kit.fakes import LABELS, MAJORITY, MEMBERS, Array, Float, make_bundle


@pytest.fixture
def copy(colours: Bundle, tmp_path: Path) -> Path:
    """A bundle that a test may spoil."""
    return Path(shutil.copytree(colours.folder, tmp_path / "copy"))


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    change(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest))


def test_a_sealed_bundle_loads_as_it_was_written(colours: Bundle) -> None:
    loaded = load(colours.folder)
    assert loaded.manifest == colours.manifest
    assert loaded.label_names == list(LABELS)
    assert loaded.golden.probs_MGL("float32").shape == (MEMBERS, 4, len(LABELS))


def test_a_bundle_without_intervals_loads(copy: Path, colours: Bundle) -> None:
    facts = json.loads((copy / MANIFEST).read_text())
    del facts["seal"]
    for part in (facts["scores"], *facts["scores"]["labels"]):
        for name in [name for name in part if "_interval" in name]:
            del part[name]
    content = json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()
    facts["seal"] = hashlib.sha256(content).hexdigest()
    (copy / MANIFEST).write_text(json.dumps(facts))
    assert "interval" not in (copy / MANIFEST).read_text()
    assert load(copy).manifest == colours.manifest


def test_thresholds_survive_the_manifest_bit_for_bit(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path)
    threshold = float(np.nextafter(np.float32(0.1), np.float32(1)))
    rule = MAJORITY.model_copy(update={"thresholds": ((threshold,) * len(LABELS),) * MEMBERS})
    sealed = seal(tmp_path, bundle.manifest.model_copy(update={"decision": rule}))
    assert sealed.manifest.decision == rule
    probs_MBL = np.full((MEMBERS, 1, len(LABELS)), threshold, np.float32)
    assert sealed.decider.decide(probs_MBL).labels_BL.all()
    assert not sealed.decider.decide(np.nextafter(probs_MBL, np.float32(0))).labels_BL.any()


@pytest.mark.parametrize("order", [None, (2, 0, 1)])
def test_an_early_exit_asks_members_in_the_manifests_order(
    tmp_path: Path, order: tuple[int, ...] | None
) -> None:
    bundle = make_bundle(tmp_path)
    if order:
        planned = EarlyExit(order=order, costs=(1, 1, 1), chips=1, mean_members=2, cost_share=0.67)
        bundle = seal(tmp_path, bundle.manifest.model_copy(update={"early_exit": planned}))
    asked = []

    def ask(member: int, rows_O: Array) -> Float:
        asked.append(member)
        return np.full((len(rows_O), len(LABELS)), member != 0, np.float32)

    assert bundle.early_voter
    bundle.early_voter.decide(1, ask)
    assert asked == list(order or (0, 1, 2))
    together = MAJORITY.model_copy(update={"cooccurrence": Cooccurrence(exclusive=((0, 1),))})
    assert make_bundle(tmp_path / "together", rule=together).early_voter is None


@pytest.mark.parametrize("name", ["member0.float32.onnx", "golden.npz"])
def test_an_altered_or_missing_file_is_named(copy: Path, name: str) -> None:
    path = copy / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(BundleError, match=rf"{name}: sha256 is .*restore"):
        load(copy)
    path.unlink()
    with pytest.raises(BundleError, match=rf"{name}: missing; restore"):
        load(copy)


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: manifest["labels"].reverse(),
        lambda manifest: manifest["decision"]["thresholds"][0].__setitem__(0, 0.987),
        lambda manifest: manifest.pop("seal"),
    ],
)
def test_an_altered_manifest_is_refused(copy: Path, change: Callable[[dict[str, Any]], object]) -> None:
    edit(copy, lambda manifest: manifest)  # another layout of the same content is no alteration
    load(copy)
    edit(copy, change)
    with pytest.raises(BundleError, match=r"bundle\.json: was altered since it was sealed; restore"):
        load(copy)


def test_a_manifest_that_is_no_json_is_refused(copy: Path) -> None:
    (copy / MANIFEST).write_text("{")
    with pytest.raises(BundleError, match=r"bundle\.json: no JSON .*; restore"):
        load(copy)


def test_a_folder_without_a_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"bundle\.json: cannot be read"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda m: m.update(schema_version=1), "schema_version 1, and this Chipvote reads 2; export"),
        (lambda m: m.update(schema_version=3), "schema_version 3, and this Chipvote reads 2; export"),
        (lambda m: m.pop("decision"), "decision: Field required"),
        (lambda m: m["decision"].update(rule="dice"), "decision"),
        (lambda m: m.update(surprise=1), "surprise: Extra inputs"),
        (lambda m: m["decision"]["quorum"].__setitem__(1, 4), "quorum 4 of label 1 is not in 1..3"),
        (lambda m: m["labels"].pop(), "decision: thresholds must be 3 members × 3 labels, found 4 labels"),
        (lambda m: m["labels"][0].update(name="dark"), "labels repeat a name"),
        (lambda m: m["members"][0].update(name="member1"), "members repeat a name"),
        (lambda m: m["decision"]["thresholds"][0].__setitem__(0, 1.5), "decision.vote.thresholds.0.0"),
        (lambda m: m["golden"].update(path="../golden.npz"), "leaves the bundle's folder"),
        (lambda m: m["golden"].update(path="/golden.npz"), "leaves the bundle's folder"),
        (lambda m: m["golden"].update(path="a\\b"), "leaves the bundle's folder"),
    ],
)
def test_an_inconsistent_manifest_is_refused(
    copy: Path, change: Callable[[dict[str, Any]], object], says: str
) -> None:
    edit(copy, change)
    with pytest.raises(BundleError) as caught:
        load(copy)
    assert says in str(caught.value)
    assert str(caught.value).startswith(str(copy / MANIFEST))


def test_a_link_out_of_the_folder_is_refused(copy: Path, tmp_path: Path) -> None:
    outside = tmp_path / "golden.npz"
    shutil.move(copy / "golden.npz", outside)
    (copy / "golden.npz").symlink_to(outside)
    with pytest.raises(BundleError, match="a link leads out"):
        load(copy)


def reseal_golden(folder: Path, **arrays: Any) -> None:  # noqa: ANN401
    bundle = load(folder)
    np.savez(folder / "golden.npz", **arrays)
    seal(folder, bundle.manifest.model_copy(update={"golden": reference(folder, "golden.npz")}))


def test_golden_of_the_wrong_shape_is_refused(copy: Path) -> None:
    with pytest.raises(BundleError, match=r"golden\.npz: labels must be \(1, 4\) of bool, found nothing"):
        reseal_golden(copy, chips=np.zeros((1, 64, 64, 3), np.uint8))


def test_golden_of_the_wrong_number_type_is_refused(copy: Path) -> None:
    arrays = dict(np.load(copy / "golden.npz"))
    with pytest.raises(BundleError, match=r"golden\.npz: chips must be .* of uint8, found .* of uint16"):
        reseal_golden(copy, **{**arrays, "chips": arrays["chips"].astype(np.uint16)})


def test_golden_with_a_pickle_is_refused(copy: Path) -> None:
    arrays = dict(np.load(copy / "golden.npz"))
    with pytest.raises(BundleError, match=r"golden\.npz: chips must be .* of uint8, found .* of object"):
        reseal_golden(copy, **{**arrays, "chips": np.array([{}] * 4, dtype=object)})
