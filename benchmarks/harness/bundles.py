"""The bundles that are served: a given one, its members repeated, or one that costs almost nothing.

What a server adds to a model shows when the model is free: the graph averages every sixteenth
pixel of every sixteenth row and puts the mean colour through one linear layer.

Shape suffixes: M members, G golden chips, H height, W width, C bands, L labels.
"""

import io
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from benchmarks.harness.chips import SIZE_PX, photo
from benchmarks.harness.servers import ROOT
from service.contract import bundle
from service.contract.bundle import Bundle
from service.contract.manifest import Manifest, Precision
from service.contract.rules import Vote
from service.engine.placement import PRECISIONS

SHIPPED = str(ROOT / "models" / "uc-merced")
LABELS = 17
STEP_PX = 16

Float = npt.NDArray[np.float32]


def opened(choice: str) -> tuple[Bundle, Precision]:
    """Open FOLDER[:PRECISION]; without the latter, what the service would take on a CPU."""
    folder, _, wanted = choice.partition(":")
    found = bundle.load(Path(folder))
    available = [name for name in PRECISIONS["cpu"] if name in found.manifest.precisions]
    if wanted and wanted not in available:
        sys.exit(f"{folder} has {', '.join(available)} for the CPU, not {wanted}")
    return found, next(name for name in available if name == wanted or not wanted)


def described(loaded: Bundle, precision: Precision) -> dict[str, object]:
    """Name a bundle and what of it runs."""
    manifest = loaded.manifest
    return {
        "bundle": f"{manifest.name} {manifest.version}",
        "members": [member.architecture for member in manifest.members],
        "precision": precision,
    }


def free_bundle(folder: Path) -> Bundle:
    """Write and seal a bundle of one member that costs next to nothing.

    Every label's threshold is the median of its golden probabilities, so that answers differ
    from chip to chip.
    """
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    weights_CL = random.normal(0, 0.02, (3, LABELS)).astype(np.float32)
    bias_L = -128 * weights_CL.sum(axis=0)
    (folder / "mean.float32.onnx").write_bytes(mean_graph(weights_CL, bias_L))
    chips_GHWC = np.stack([np.asarray(Image.open(io.BytesIO(photo(seed)))) for seed in range(8)])
    means_GC = chips_GHWC[:, ::STEP_PX, ::STEP_PX].mean(axis=(1, 2), dtype=np.float32)
    probs_GL = 1 / (1 + np.exp(-(means_GC @ weights_CL + bias_L)))
    thresholds_L = np.median(probs_GL, axis=0).astype(np.float32).tolist()
    rule = Vote(thresholds=(thresholds_L,), weights=((1,) * LABELS,), quorum=(1,) * LABELS)
    labels_GL = rule.decider().decide(probs_GL[None]).labels_BL
    np.savez(folder / "golden.npz", chips=chips_GHWC, labels=labels_GL, probabilities_float32=probs_GL[None])
    return bundle.seal(folder, _manifest(folder, rule))


def repeated(original: Bundle, members: Sequence[int], precision: Precision, folder: Path) -> Bundle:
    """Write and seal a bundle of these members of another one.

    The members come in turn, as often as they are named. The bundle decides by a vote whose
    thresholds are the medians of its golden probabilities.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found = original.manifest
    chosen = []
    for index, member in enumerate(members):
        graph = found.members[member].graphs[precision]
        copied = folder / graph.file.path
        if not copied.exists():
            shutil.copy(original.folder / graph.file.path, copied)
        name = f"{found.members[member].name}-{index}"
        chosen.append(found.members[member].model_copy(update={"name": name, "graphs": {precision: graph}}))
    probs_MGL = original.golden.probs_MGL(precision)[list(members)]
    count, labels = len(members), len(found.labels)
    thresholds = tuple(tuple(row) for row in np.median(probs_MGL, axis=1).tolist())
    weights = ((1,) * labels,) * count
    rule = Vote(thresholds=thresholds, weights=weights, quorum=(count // 2 + 1,) * labels)
    labels_GL = rule.decider().decide(probs_MGL).labels_BL
    probs: dict[str, Any] = {f"probabilities_{precision}": probs_MGL}
    np.savez(folder / "golden.npz", chips=original.golden.chips_GHWC, labels=labels_GL, **probs)
    golden = bundle.reference(folder, "golden.npz")
    changed = {"members": tuple(chosen), "decision": rule, "golden": golden, "early_exit": None}
    return bundle.seal(folder, found.model_copy(update=changed))


def mean_graph(weights_CL: Float, bias_L: Float) -> bytes:
    """Encode probabilities = sigmoid(mean colour · weights + bias), and the evidence before it."""
    bands, labels = weights_CL.shape
    constants = {
        "start": np.array([0, 0]),
        "end": np.array([SIZE_PX, SIZE_PX]),
        "axes": np.array([1, 2]),
        "step": np.array([STEP_PX, STEP_PX]),
        "weights": weights_CL,
        "bias": bias_L.astype(np.float32),
        "last": np.array([2, 3]),
    }
    nodes = [
        helper.make_node("Slice", ["chips", "start", "end", "axes", "step"], ["few"]),
        helper.make_node("Cast", ["few"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["floats"], ["means"], axes=[1, 2], keepdims=0),
        helper.make_node("Gemm", ["means", "weights", "bias"], ["logits"]),
        helper.make_node("Sigmoid", ["logits"], ["probabilities"]),
        helper.make_node("Unsqueeze", ["logits", "last"], ["evidence"]),
    ]
    graph = helper.make_graph(
        nodes,
        "mean",
        [helper.make_tensor_value_info("chips", TensorProto.UINT8, ["B", SIZE_PX, SIZE_PX, bands])],
        [
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["B", labels]),
            helper.make_tensor_value_info("evidence", TensorProto.FLOAT, ["B", labels, 1, 1]),
        ],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    opset = [helper.make_opsetid("", 13)]
    return bytes(helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString())


def _manifest(folder: Path, rule: Vote) -> Manifest:
    names = [f"label-{index}" for index in range(LABELS)]
    check = {"chips": 8, "max_probability_difference": 0, "sample_f2_change": 0}
    graph: dict[str, Any] = {"file": bundle.reference(folder, "mean.float32.onnx"), "check": check}
    scores = {"sample_f2": 1, "macro_f2": 1, "mean_average_precision": 1, "group_f2": {}, "labels": []}
    return Manifest.model_validate(
        {
            "name": "free",
            "version": "1.0.0",
            "description": "One linear layer on the mean colour: what remains is the server.",
            "input": {"bands": ("red", "green", "blue"), "height": SIZE_PX, "width": SIZE_PX},
            "labels": [{"name": name, "group": "generated", "prevalence": 0.5} for name in names],
            "members": [{"name": "mean", "architecture": "linear", "graphs": {"float32": graph}}],
            "decision": rule,
            "golden": bundle.reference(folder, "golden.npz"),
            "scores": {"fitting": "in-sample", "chips": 8, **scores},
            "provenance": {
                "dataset": "generated",
                "dataset_sha256": "0" * 64,
                "chips": 8,
                "recipe": {},
                "versions": {},
                "licence": "CC0-1.0",
            },
        }
    )
