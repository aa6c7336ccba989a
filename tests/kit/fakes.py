"""Stand-ins: hand-written ONNX graphs, whole bundles made of them, and pictures.

A tiny member is one linear layer on the chip's mean colour, so tests can say what it must answer.

Shape suffixes: M members, G golden chips, H height, W width, C bands, L labels.
"""

import io
import math
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from service.contract import bundle
from service.contract.bundle import Bundle
from service.contract.decision import Decision, Voter, strict_majority
from service.contract.manifest import Manifest, Pixel, Precision
from service.contract.rules import Rule, Vote
from service.contract.sensors import SENSORS, Band
from service.engine.verdict import Verdict
from tests.kit.onnx_bytes import FLOAT, UINT8, UINT16, field, node, tensor, value

Array = npt.NDArray[Any]
Float = npt.NDArray[np.float32]
Chips = npt.NDArray[Pixel]

SIZE_PX = 64
LABELS = ("reddish", "greenish", "bluish", "dark")
MEMBERS = 3

# A plain majority of three at even odds.
MAJORITY = Vote(
    thresholds=((0.5,) * len(LABELS),) * MEMBERS,
    weights=((1,) * len(LABELS),) * MEMBERS,
    quorum=(2,) * len(LABELS),
)


def picture(colour: tuple[int, int, int], size_px: int = SIZE_PX) -> Image.Image:
    """A chip of one colour."""
    return Image.new("RGB", (size_px, size_px), colour)


RED, GREEN, BLUE, BLACK = (220, 10, 10), (10, 220, 10), (10, 10, 220), (0, 0, 0)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:  # noqa: ANN401
    """A picture as a file's bytes; `kind` is Pillow's name of the format."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


class FakeEnsemble:
    """Answers with the mean of the chip's first band; can be held back and made to fail."""

    device = "cpu"
    precision = "float32"
    passed_over: Mapping[Any, str] = MappingProxyType({})
    at_once: int | None = None
    chips_per_s = math.inf
    lane_count = 1

    def __init__(self, labels: int = 1) -> None:
        self.labels = labels
        self.batch_sizes: list[int] = []
        self.threads: set[str] = set()
        self.entered = threading.Event()  # a batch is inside
        self.gate = threading.Event()  # closed: batches stay inside
        self.gate.set()
        self.fail_next: Exception | None = None

    def lanes(self) -> list["FakeEnsemble"]:
        return [self] * self.lane_count

    def vote(self, chips_BHWC: Chips, explain: bool = False) -> list[Verdict]:
        self.batch_sizes.append(len(chips_BHWC))
        self.threads.add(threading.current_thread().name)
        self.entered.set()
        assert self.gate.wait(120), "the test never opened the gate"
        if self.fail_next:
            error, self.fail_next = self.fail_next, None
            raise error
        n, means = self.labels, chips_BHWC[..., 0].mean(axis=(1, 2)).tolist()
        return [Verdict([mean] * n, [1] * n, [True] * n, MEMBERS) for mean in means]


@dataclass(frozen=True)
class Linear:
    """A member: probability = sigmoid(mean colour · weights_CL + bias_L)."""

    weights_CL: Float
    bias_L: Float

    def probabilities(self, chips_GHWC: Chips) -> Float:
        logits_GL = chips_GHWC.mean(axis=(1, 2), dtype=np.float32) @ self.weights_CL + self.bias_L
        return np.asarray(1 / (1 + np.exp(-logits_GL)), np.float32)

    def graph(self, **faults: Any) -> bytes:  # noqa: ANN401
        """The member as an ONNX file; `faults` as in `graph`."""
        return graph(self.weights_CL, self.bias_L, **faults)


def linear_members() -> list[Linear]:
    """Three members that agree on pure colours and differ in how sure they are."""
    weights_CL = np.array([[1, -1, -1, -1], [-1, 1, -1, -1], [-1, -1, 1, -1]], np.float32) / 32
    bias_L = np.array([-2, -2, -2, 2], np.float32)
    scales = np.array([0.8, 1.0, 1.2], np.float32)
    return [Linear(weights_CL * scale, bias_L * scale) for scale in scales]


RAW_BANDS: tuple[Band, ...] = ("nir", "red", "green", "blue")
RAW_SCALE = 256  # raw values are so many times the grey levels


def raw_members(bands: Sequence[Band] = RAW_BANDS) -> list[Linear]:
    """The same members on uint16 chips; the near infrared darkens, other bands do nothing."""
    members = []
    for member in linear_members():
        of_band = dict(zip(("red", "green", "blue"), member.weights_CL, strict=True))
        of_band["nir"] = np.array([0, 0, 0, -1 / 32], np.float32)
        weights_CL = np.stack([of_band.get(band, np.zeros(4, np.float32)) for band in bands]) / RAW_SCALE
        members.append(Linear(weights_CL.astype(np.float32), member.bias_L))
    return members


def make_raw_bundle(folder: Path, sensor: str | None = None) -> Bundle:
    """Write and seal a bundle that takes uint16 chips: four bands, or all those of a sensor."""
    bands, known = RAW_BANDS, {}
    if sensor:
        bands, known = SENSORS[sensor].bands, {"sensor": sensor, "nodata": SENSORS[sensor].nodata}
    chips_GHWC = np.zeros((4, SIZE_PX, SIZE_PX, len(bands)), np.uint16)
    for chip_HWC, colour in zip(chips_GHWC, (RED, GREEN, BLUE, BLACK), strict=True):
        chip_HWC[..., [bands.index(band) for band in ("red", "green", "blue")]] = np.multiply(
            colour, RAW_SCALE
        )
    return make_bundle(
        folder,
        graphs=lambda member: member.graph(input_type=UINT16),
        bands=bands,
        members=raw_members(bands),
        chips_GHWC=chips_GHWC,
        known=known,
    )


def make_bundle(
    folder: Path,
    *,
    graphs: Callable[[Linear], bytes] = Linear.graph,
    precisions: Sequence[Precision] = ("float32",),
    golden_shift: float = 0.0,
    golden_flip: bool = False,
    wrong: Collection[Precision] = (),
    bands: tuple[Band, ...] = ("red", "green", "blue"),
    rule: Rule = MAJORITY,
    members: Sequence[Linear] | None = None,
    chips_GHWC: Chips | None = None,
    labels: Sequence[str] = LABELS,
    dataset_sha256: str = "0" * 64,
    version: str = "1.2.3",
    known: Mapping[str, Any] = MappingProxyType({}),
) -> Bundle:
    """Write and seal a bundle of linear members.

    Graphs, shift and flip make it wrong in one way each; at the precisions in `wrong`, its golden
    answers are nobody's. `known` is what else its `input` says.
    """
    folder.mkdir(parents=True, exist_ok=True)
    members = members or linear_members()
    if chips_GHWC is None:
        chips_GHWC = np.stack([np.asarray(picture(colour)) for colour in (RED, GREEN, BLUE, BLACK)])
    probs_MGL = np.stack([member.probabilities(chips_GHWC) for member in members])
    arrays: dict[str, Any] = {
        "chips": chips_GHWC,
        "labels": rule.decider().decide(probs_MGL).labels_BL ^ golden_flip,
    }
    for precision in precisions:
        shift = 0.5 if precision in wrong else golden_shift
        arrays[f"probabilities_{precision}"] = probs_MGL + np.float32(shift)
        for index, member in enumerate(members):
            (folder / f"member{index}.{precision}.onnx").write_bytes(graphs(member))
    np.savez(folder / "golden.npz", **arrays)
    takes = {"bands": bands, "dtype": str(chips_GHWC.dtype), "height": SIZE_PX, "width": SIZE_PX, **known}
    manifest = _manifest(folder, rule, precisions, takes, labels, dataset_sha256, version)
    return bundle.seal(folder, manifest)


def _manifest(
    folder: Path,
    rule: Rule,
    precisions: Sequence[Precision],
    takes: Mapping[str, Any],
    labels: Sequence[str],
    dataset_sha256: str,
    version: str,
) -> Manifest:
    check = {"chips": 4, "max_probability_difference": 0.0, "sample_f2_change": 0.0}
    quality = {"positives": 1, "precision": 1, "recall": 1, "average_precision": None}
    members = [
        {
            "name": f"member{index}",
            "architecture": "linear",
            "graphs": {
                precision: {
                    "file": bundle.reference(folder, f"member{index}.{precision}.onnx"),
                    "check": check,
                }
                for precision in precisions
            },
        }
        for index in range(MEMBERS)
    ]
    return Manifest.model_validate(
        {
            "name": "colours",
            "version": version,
            "description": "Names the colour of a chip.",
            "input": takes,
            "labels": [{"name": name, "group": "colour", "prevalence": 0.25} for name in labels],
            "members": members,
            "decision": rule,
            "golden": bundle.reference(folder, "golden.npz"),
            "scores": {
                "fitting": "in-sample",
                "chips": 4,
                "sample_f2": 1,
                "macro_f2": 1,
                "mean_average_precision": 1,
                "group_f2": {"colour": 1},
                "labels": [{"label": name, "f2": 0.75, **quality} for name in labels[:-1]],
            },
            "provenance": {
                "dataset": "four colours",
                "dataset_sha256": dataset_sha256,
                "chips": 4,
                "recipe": {},
                "versions": {},
                "licence": "CC0-1.0",
            },
        }
    )


def graph(
    weights_CL: Float,
    bias_L: Float,
    *,
    input_name: str = "chips",
    input_type: int = UINT8,
    size_px: int = SIZE_PX,
    batch: int | str = "B",
    with_evidence: bool = True,
) -> bytes:
    """Encode Cast → ReduceMean → MatMul → Add → Sigmoid (and Unsqueeze) as an ONNX file."""
    bands, labels = weights_CL.shape
    nodes = [
        node("Cast", [input_name], "floats", to=FLOAT),
        node("ReduceMean", ["floats"], "means", axes=[1, 2], keepdims=0),
        node("MatMul", ["means", "weights"], "products"),
        node("Add", ["products", "bias"], "logits"),
        node("Sigmoid", ["logits"], "probabilities"),
    ]
    outputs = [value("probabilities", FLOAT, [batch, labels])]
    if with_evidence:
        nodes.append(node("Unsqueeze", ["logits", "axes"], "evidence"))
        outputs.append(value("evidence", FLOAT, [batch, labels, 1, 1]))
    constants = [
        tensor("weights", weights_CL),
        tensor("bias", bias_L),
        tensor("axes", np.array([2, 3])),
    ]
    body = field(2, "tiny")
    body += b"".join(field(1, node) for node in nodes)
    body += b"".join(field(5, constant) for constant in constants)
    body += field(11, value(input_name, input_type, [batch, size_px, size_px, bands]))
    body += b"".join(field(12, output) for output in outputs)
    opset = field(8, field(1, "") + field(2, 13))
    return field(1, 8) + opset + field(7, body)


def majority(probs_MBL: Float, thresholds_ML: Float, quorum: int | None = None) -> Decision:
    """A plain vote: more than half of the members, or a quorum of them, reach their thresholds."""
    members, labels = thresholds_ML.shape
    weights_ML = np.ones((members, labels), np.int64)
    quorum_L = np.full(labels, quorum or strict_majority(members))
    return Voter(thresholds_ML, weights_ML, quorum_L).decide(probs_MBL)
