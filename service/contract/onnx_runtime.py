"""The one door to ONNX Runtime: service, export, checks and benchmarks open their sessions here.

Holds what is true of every session: quiet, no idle thread that spins, no fallback in silence. And
it knows one flaw of processors: x86 without VNNI adds products of 8 bits in pairs, in 16 bits,
where the sum can be cut off. Graphs whose weights are bounded (`training/export/saturation.py`)
cannot reach that; any other gets exact kernels, at half the speed, on such processors alone.

Knows graphs and sessions: no bundle, no members, no device but what a caller names.
"""

import base64
import logging
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import onnxruntime as ort

logger = logging.getLogger("chipvote")

CPU = "CPUExecutionProvider"
Provider = tuple[str, Mapping[str, str]]

# `a` uint8 (1,2) times the weights 127 and 127, as integers. Written once by onnx, which the
# service lacks; `tests/training/export/test_saturation.py` writes it again and compares.
_TWO_WEIGHTS = base64.b64decode(
    "CAc6XwoYCgFhCgFiEgFjIg1NYXRNdWxJbnRlZ2VyEgpzYXR1cmF0aW9uKg0IAggBEANCAWJKAn9/"
    "WhMKAWESDgoMCAISCAoCCAEKAggCYhMKAWMSDgoMCAYSCAoCCAEKAggBQgQKABAK"
)


def open_session(
    graph: Path | bytes,
    *,
    threads: int = 0,
    exact: bool = False,
    spinning: bool = False,
    providers: Sequence[Provider] = ((CPU, {}),),
    entries: Mapping[str, str] | None = None,
) -> ort.InferenceSession:
    """Open a graph.

    Args:
        graph: an ONNX file, or its bytes.
        threads: that share the work of one run; 0 is ONNX Runtime's choice, one per core.
        exact: take kernels that add in 32 bits, whatever they cost. Those of processors with VNNI
            or AMX do so anyway, and would be switched off with the others.
        spinning: keep the cores busy while threads wait, which takes them from all other sessions:
            with it, three ResNet-18 on two cores answer half as fast.
        providers: in order of preference, each with its options.
        entries: further session options by ONNX Runtime's own names.

    Raises:
        Exception: whatever ONNX Runtime refuses with; its exceptions share no other base.
    """
    options = ort.SessionOptions()
    options.log_severity_level = 4  # not even errors: they are raised as well
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spinning)))
    if exact:
        options.add_session_config_entry("session.x64quantprecision", "1")
    for name, value in (entries or {}).items():
        options.add_session_config_entry(name, value)
    # ONNX Runtime's own fallback to the CPU would hide why a provider did not come up.
    return ort.InferenceSession(
        graph, options, providers=[(name, dict(of)) for name, of in providers], enable_fallback=False
    )


@cache
def saturates() -> bool:
    """Tell whether 8-bit kernels cut sums off here: 255·127 + 255·127 is beyond 16 bits."""
    session = open_session(_TWO_WEIGHTS, threads=1)
    return bool(session.run(None, {"a": np.full((1, 2), 255, np.uint8)})[0].item() != 2 * 255 * 127)


def needs_exact(bounded: bool, precision: str) -> bool:
    """Tell whether a graph wants exact kernels on this processor."""
    return precision == "int8" and not bounded and saturates()
