"""The servers compared: this service, and its peers with the settings that suit each best.

Peers run in an environment of their own (`make peers`), since their requirements are many.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks._servers import ROOT, Server
from service.bundle import Precision

PYTHON = ROOT / ".venv-peers" / "bin" / "python"
OURS = "chipvote"


@dataclass(frozen=True)
class Peer:
    """A server under `benchmarks/peers/`.

    Its settings (see `peers/common.py`) are the fastest of those tried, once for a graph that costs
    nothing and once for real networks, which want the cores for themselves.
    """

    package: str  # whose version is reported
    path: str = "/predict"
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "image/jpeg"})
    overhead: Mapping[str, int] = field(default_factory=dict)
    ensemble: Mapping[str, int] = field(default_factory=dict)


TRITON_HEADERS = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": "0"}

PEERS = {
    "triton": Peer(
        "nvidia-pytriton",
        "/v2/models/chips/infer",
        TRITON_HEADERS,
        overhead={"workers": 1, "batch": 16},
        ensemble={"workers": 1, "batch": 8, "threads": 0},
    ),
    "litserve": Peer("litserve", overhead={"workers": 1}, ensemble={"threads": 0, "batch": 8}),
    "bentoml": Peer("bentoml", overhead={"workers": 2}, ensemble={"threads": 0}),
    "ray": Peer("ray", overhead={}, ensemble={"threads": 0, "batch": 8}),
    "mosec": Peer("mosec", "/inference", overhead={"workers": 1}, ensemble={"threads": 0, "batch": 8}),
    "fastapi": Peer("fastapi", overhead={"workers": 1}, ensemble={"threads": 0}),
}


def peer(name: str, python: Path, bundle: Path, precision: Precision, settings: Mapping[str, int]) -> Server:
    """Return a peer that serves a bundle's graphs of one precision."""
    known = PEERS[name]
    values = {"bundle": bundle.resolve(), "precision": precision, **settings}
    return Server(
        name=name,
        command=(str(python), "-m", f"benchmarks.peers.{name}_server"),
        path=known.path,
        headers=known.headers,
        labels=_labels,
        environment={f"PEER_{key.upper()}": str(value) for key, value in values.items()},
        port="PEER_PORT",
    )


def ours(bundle: Path, precision: Precision, environment: Mapping[str, str]) -> Server:
    """Return this service; what it logs per request is switched off, as it is for the peers."""
    fixed = {
        "CHIPVOTE_BUNDLE": str(bundle.resolve()),
        "CHIPVOTE_PRECISION": precision,
        "CHIPVOTE_DEVICE": "cpu",
        "CHIPVOTE_ACCESS_LOG": "false",
    }
    return Server(
        name=OURS,
        command=(sys.executable, "-m", "service"),
        path="/predict",
        headers={"Content-Type": "image/jpeg"},
        labels=_our_labels,
        environment={**fixed, **environment},
        port="CHIPVOTE_PORT",
    )


def _labels(body: bytes) -> set[str]:
    # Triton puts a description of its outputs before the answer.
    return set(json.loads(body[body.find(b'{"labels"') :])["labels"])


def _our_labels(body: bytes) -> set[str]:
    return set(json.loads(body)["predictions"][0]["labels"])
