"""What every peer does alike: decode a chip, run the graphs, decide, put the answer into words.

A peer is an ordinary server around a bundle's graphs, written as somebody who knows that
server would. Only the server differs: decoding is Pillow's (or this project's own, lent to it), the
graphs run in ONNX Runtime on the CPU and the decision is the bundle's own.

Settings come as environment variables, so that every server's processes see them:

    PEER_BUNDLE     folder of the bundle
    PEER_PRECISION  which of the bundle's graphs (float32)
    PEER_THREADS    threads of one session; 0 leaves it to ONNX Runtime (1)
    PEER_PORT       port on 127.0.0.1
    PEER_WORKERS    processes or replicas that answer (1)
    PEER_BATCH      most chips in one batch; 1 switches batching off (1)
    PEER_WAIT_MS    longest wait for a batch to fill (0)
    PEER_DECODER    pillow, or chipvote for the service's own (pillow)
    PEER_LIMITS     wide: none that a benchmark of speed could meet (what it is without a word)
                    default: those that the server comes with
                    tight: those that it documents, set to the two below
    PEER_QUEUE      most requests inside, in all workers together, if tight (64)
    PEER_DEADLINE_S seconds that a request may wait, if tight (5)

Shape suffixes: M members, B chips, H height, W width, C bands, L labels.
"""

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, cast

import numpy as np
import numpy.typing as npt
from PIL import Image
from typing_extensions import TypedDict  # pydantic wants this one before Python 3.12

from benchmarks.harness import timed
from service.contract import bundle
from service.contract.chips.bands import RGB
from service.contract.chips.decode import decode_chip
from service.contract.manifest import InputSpec, Precision
from service.contract.onnx_runtime import needs_exact, open_session

HOST = "127.0.0.1"

Chip = npt.NDArray[np.uint8]
Limits = Literal["wide", "default", "tight"]


class Answer(TypedDict):
    """One chip's labels, and every label's probability."""

    labels: list[str]
    probabilities: dict[str, float]


@dataclass(frozen=True)
class Settings:
    """How one peer runs; read where it is needed, since servers start processes of their own."""

    bundle: Path = field(default_factory=lambda: Path(os.environ["PEER_BUNDLE"]))
    precision: Precision = field(
        default_factory=lambda: cast(Precision, os.environ.get("PEER_PRECISION", "float32"))
    )
    threads: int = field(default_factory=lambda: _number("THREADS", 1))
    port: int = field(default_factory=lambda: _number("PORT", 8000))
    workers: int = field(default_factory=lambda: _number("WORKERS", 1))
    batch: int = field(default_factory=lambda: _number("BATCH", 1))
    wait_ms: int = field(default_factory=lambda: _number("WAIT_MS", 0))
    limits: Limits = field(default_factory=lambda: cast(Limits, os.environ.get("PEER_LIMITS", "wide")))
    queue: int = field(default_factory=lambda: _number("QUEUE", 64))
    deadline_s: int = field(default_factory=lambda: _number("DEADLINE_S", 5))


class Model:
    """A bundle's graphs and its rule."""

    def __init__(self, settings: Settings) -> None:
        timed.install()
        loaded = bundle.load(settings.bundle)
        self._names, self._decider = loaded.label_names, loaded.decider
        graphs = [member.graphs[settings.precision] for member in loaded.manifest.members]
        self._sessions = [
            open_session(
                loaded.folder / graph.file.path,
                threads=settings.threads,
                exact=needs_exact(graph.bounded, settings.precision),
            )
            for graph in graphs
        ]

    def answers(self, chips_HWC: Sequence[Chip]) -> list[Answer]:
        """Answer chips, uint8 (256, 256, 3) each, as one batch."""
        chips_BHWC = np.stack(chips_HWC)
        runs = [session.run(["probabilities"], {"chips": chips_BHWC})[0] for session in self._sessions]
        labels_BL, _, probs_BL = self._decider.decide(np.stack(runs))
        return [
            self._answer(*rows) for rows in zip(labels_BL.tolist(), probs_BL.round(6).tolist(), strict=True)
        ]

    def _answer(self, labels: list[bool], probabilities: list[float]) -> Answer:
        return Answer(
            labels=[name for name, there in zip(self._names, labels, strict=True) if there],
            probabilities=dict(zip(self._names, probabilities, strict=True)),
        )


def decode(data: bytes) -> Chip:
    """Decode a JPEG to uint8 (256, 256, 3)."""
    if DECODER == "chipvote":
        return np.asarray(decode_chip(data, SPEC), np.uint8)
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(fit(image))


def fit(image: Image.Image) -> Image.Image:
    """Bring a picture into the graphs' shape; chips of data sets are a few pixels off at times."""
    picture = image.convert("RGB")
    return picture if picture.size == SIZE else picture.resize(SIZE, Image.Resampling.BILINEAR)


SIZE = (256, 256)
SPEC = InputSpec(bands=RGB, height=SIZE[1], width=SIZE[0])
DECODER = os.environ.get("PEER_DECODER", "pillow")


def _number(name: str, default: int) -> int:
    return int(os.environ.get(f"PEER_{name}", default))
