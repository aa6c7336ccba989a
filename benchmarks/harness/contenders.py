"""The servers compared: this service, and its peers with the settings that suit each best.

Peers run in an environment of their own (`make peers`), since their requirements are many.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks.harness.servers import ROOT, Server
from service.contract.manifest import Precision

PYTHON = ROOT / ".venv-peers" / "bin" / "python"
OURS = "chipvote"


@dataclass(frozen=True)
class Peer:
    """A server under `benchmarks/peers/`.

    Its settings (see `peers/common.py`) are the fastest of those tried on two cores, once for
    a graph that costs nothing and once for real networks, which want the cores for themselves.
    """

    package: str  # whose version is reported
    module: str
    path: str = "/predict"
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "image/jpeg"})
    health: str = ""  # the path that answers 200 from when the server is ready
    overhead: Mapping[str, int | str] = field(default_factory=dict)
    ensemble: Mapping[str, int | str] = field(default_factory=dict)


TRITON = Peer(
    "nvidia-pytriton",
    "triton_server",
    path="/v2/models/chips/infer",
    headers={"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": "0"},
    health="/v2/health/ready",
    overhead={"batch": 16},
    ensemble={"batch": 8, "threads": 0},
)
MOSEC = Peer(
    "mosec",
    "mosec_server",
    path="/inference",
    overhead={"workers": 2},
    ensemble={"workers": 2},
)
# Two ways of one server stand beside each other where neither is the faster one throughout.
PEERS = {
    "triton": TRITON,
    "triton-2": replace(TRITON, overhead={"workers": 2, "batch": 16}, ensemble={"workers": 2, "batch": 8}),
    "mosec": MOSEC,
    "mosec-batch": replace(
        MOSEC, overhead={"batch": 16, "wait_ms": 1}, ensemble={"batch": 8, "wait_ms": 1, "threads": 0}
    ),
    "fastapi": Peer("fastapi", "fastapi_server", health="/health", overhead={"workers": 2}),
    "litserve": Peer(
        "litserve", "litserve_server", health="/health", overhead={"workers": 2}, ensemble={"workers": 2}
    ),
    "bentoml": Peer("bentoml", "bentoml_server", health="/readyz", overhead={"workers": 2}),
    "ray": Peer("ray", "ray_server"),
}


def peer(
    name: str, python: Path, bundle: Path, precision: Precision, settings: Mapping[str, int | str]
) -> Server:
    """Return a peer that serves a bundle's graphs of one precision."""
    known = PEERS[name]
    values = {"bundle": bundle.resolve(), "precision": precision, **settings}
    return Server(
        name=name,
        command=(str(python), "-m", f"benchmarks.peers.{known.module}"),
        path=known.path,
        headers=known.headers,
        labels=_labels,
        environment={f"PEER_{key.upper()}": str(value) for key, value in values.items()},
        port="PEER_PORT",
        ready=known.health,
    )


def ours(bundle: Path, precision: Precision, environment: Mapping[str, str]) -> Server:
    """Return this service on a CPU, unless the environment says otherwise.

    What it logs per request is switched off, as it is for the peers.
    """
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
        ready="/health/ready",
    )


def _labels(body: bytes) -> set[str]:
    # Triton puts a description of its outputs before the answer.
    return set(json.loads(body[body.find(b'{"labels"') :])["labels"])


def _our_labels(body: bytes) -> set[str]:
    return set(json.loads(body)["predictions"][0]["labels"])
