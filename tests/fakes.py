"""Stand-ins: hand-written ONNX graphs, whole bundles made of them, and pictures.

A tiny member is one linear layer on the chip's mean colour, so tests can say what it must
answer. The graphs are encoded here byte by byte because `onnx` is no dependency of the
service, and its tests must run without it.

Shape suffixes: M members, G golden chips, H height, W width, C bands, L labels.
"""

import io
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from service import bundle
from service.bundle import Bundle, Precision
from service.decision import Decision, Voter, strict_majority
from service.ensemble import Vote
from service.rules import Rule
from service.rules import Vote as VoteRule

Array = npt.NDArray[Any]
Float = npt.NDArray[np.float32]
Chips = npt.NDArray[bundle.Pixel]

SIZE_PX = 64
LABELS = ("reddish", "greenish", "bluish", "dark")
MEMBERS = 3

# A plain majority of three at even odds.
MAJORITY = VoteRule(
    thresholds=((0.5,) * len(LABELS),) * MEMBERS,
    weights=((1,) * len(LABELS),) * MEMBERS,
    quorum=(2,) * len(LABELS),
)

_FLOAT, _UINT8, _UINT16, _INT64 = 1, 2, 4, 7  # ONNX's element types


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
    at_once: int | None = None
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

    def vote(self, chips_BHWC: Chips, closely: bool = False) -> list[Vote]:
        self.batch_sizes.append(len(chips_BHWC))
        self.threads.add(threading.current_thread().name)
        self.entered.set()
        assert self.gate.wait(10), "the test never opened the gate"
        if self.fail_next:
            error, self.fail_next = self.fail_next, None
            raise error
        n, means = self.labels, chips_BHWC[..., 0].mean(axis=(1, 2)).tolist()
        return [Vote([mean] * n, [1] * n, [True] * n, MEMBERS) for mean in means]


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


RAW_BANDS = ("near infrared", "red", "green", "blue")
RAW_SCALE = 256  # raw values are so many times the grey levels


def raw_members() -> list[Linear]:
    """The same members on uint16 chips of `RAW_BANDS`; the near infrared darkens."""
    members = []
    for member in linear_members():
        weights_CL = np.vstack([[0, 0, 0, -1 / 32], member.weights_CL]) / RAW_SCALE
        members.append(Linear(weights_CL.astype(np.float32), member.bias_L))
    return members


def make_raw_bundle(folder: Path) -> Bundle:
    """Write and seal a bundle that takes four-band uint16 chips."""
    colours = np.array([(0, *colour) for colour in (RED, GREEN, BLUE, BLACK)], np.uint16) * RAW_SCALE
    chips_GHWC = np.broadcast_to(colours[:, None, None], (4, SIZE_PX, SIZE_PX, 4))
    return make_bundle(
        folder,
        graphs=lambda member: member.graph(input_type=_UINT16),
        bands=RAW_BANDS,
        members=raw_members(),
        chips_GHWC=chips_GHWC,
    )


def make_bundle(
    folder: Path,
    *,
    graphs: Callable[[Linear], bytes] = Linear.graph,
    precisions: Sequence[Precision] = ("float32",),
    golden_shift: float = 0.0,
    golden_flip: bool = False,
    bands: tuple[str, ...] = ("red", "green", "blue"),
    rule: Rule = MAJORITY,
    members: Sequence[Linear] | None = None,
    chips_GHWC: Chips | None = None,
) -> Bundle:
    """Write and seal a bundle of linear members; graphs, shift and flip make it wrong in one way each."""
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
        arrays[f"probabilities_{precision}"] = probs_MGL + np.float32(golden_shift)
        for index, member in enumerate(members):
            (folder / f"member{index}.{precision}.onnx").write_bytes(graphs(member))
    np.savez(folder / "golden.npz", **arrays)
    return bundle.seal(folder, _manifest(folder, rule, precisions, bands, str(chips_GHWC.dtype)))


def _manifest(
    folder: Path, rule: Rule, precisions: Sequence[Precision], bands: tuple[str, ...], dtype: str
) -> bundle.Manifest:
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
    return bundle.Manifest.model_validate(
        {
            "name": "colours",
            "version": "1.2.3",
            "description": "Names the colour of a chip.",
            "input": {"bands": bands, "dtype": dtype, "height": SIZE_PX, "width": SIZE_PX},
            "labels": [{"name": name, "group": "colour", "prevalence": 0.25} for name in LABELS],
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
                "labels": [{"label": name, "f2": 0.75, **quality} for name in LABELS[:-1]],
            },
            "provenance": {
                "dataset": "four colours",
                "dataset_sha256": "0" * 64,
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
    input_type: int = _UINT8,
    size_px: int = SIZE_PX,
    batch: int | str = "B",
    with_evidence: bool = True,
) -> bytes:
    """Encode Cast → ReduceMean → MatMul → Add → Sigmoid (and Unsqueeze) as an ONNX file."""
    bands, labels = weights_CL.shape
    nodes = [
        _node("Cast", [input_name], "floats", to=_FLOAT),
        _node("ReduceMean", ["floats"], "means", axes=[1, 2], keepdims=0),
        _node("MatMul", ["means", "weights"], "products"),
        _node("Add", ["products", "bias"], "logits"),
        _node("Sigmoid", ["logits"], "probabilities"),
    ]
    outputs = [_value("probabilities", _FLOAT, [batch, labels])]
    if with_evidence:
        nodes.append(_node("Unsqueeze", ["logits", "axes"], "evidence"))
        outputs.append(_value("evidence", _FLOAT, [batch, labels, 1, 1]))
    constants = [
        _tensor("weights", weights_CL),
        _tensor("bias", bias_L),
        _tensor("axes", np.array([2, 3])),
    ]
    body = _field(2, "tiny")
    body += b"".join(_field(1, node) for node in nodes)
    body += b"".join(_field(5, constant) for constant in constants)
    body += _field(11, _value(input_name, input_type, [batch, size_px, size_px, bands]))
    body += b"".join(_field(12, output) for output in outputs)
    opset = _field(8, _field(1, "") + _field(2, 13))
    return _field(1, 8) + opset + _field(7, body)


def _varint(number: int) -> bytes:
    rest, low = number >> 7, number & 0x7F
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])


def _field(number: int, content: int | str | bytes) -> bytes:
    if isinstance(content, int):
        return _varint(number << 3) + _varint(content)
    data = content.encode() if isinstance(content, str) else content
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _node(operator: str, inputs: list[str], output: str, **attributes: int | list[int]) -> bytes:
    node = b"".join(_field(1, name) for name in inputs) + _field(2, output) + _field(4, operator)
    for name, setting in attributes.items():
        if isinstance(setting, int):
            value = _field(3, setting) + _field(20, 2)
        else:
            value = b"".join(_field(8, item) for item in setting) + _field(20, 7)
        node += _field(5, _field(1, name) + value)
    return node


def _tensor(name: str, array: Array) -> bytes:
    dims = b"".join(_field(1, size) for size in array.shape)
    kind = {"float32": _FLOAT, "int64": _INT64}[str(array.dtype)]
    return dims + _field(2, kind) + _field(8, name) + _field(9, array.tobytes())


def _value(name: str, kind: int, shape: list[int | str]) -> bytes:
    dims = [_field(1, size) if isinstance(size, int) else _field(2, size) for size in shape]
    tensor = _field(1, kind) + _field(2, b"".join(_field(1, dim) for dim in dims))
    return _field(1, name) + _field(2, _field(1, tensor))


def majority(probs_MBL: Float, thresholds_ML: Float, quorum: int | None = None) -> Decision:
    """A plain vote: more than half of the members, or a quorum of them, reach their thresholds."""
    members, labels = thresholds_ML.shape
    weights_ML = np.ones((members, labels), np.int64)
    quorum_L = np.full(labels, quorum or strict_majority(members))
    return Voter(thresholds_ML, weights_ML, quorum_L).decide(probs_MBL)
