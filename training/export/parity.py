"""Does an exported graph answer like the network it came from? Measured on real chips.

Shape suffixes: B chips, H height, W width, C bands, L labels.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from service.contract.manifest import EVIDENCE, INPUT, PROBABILITIES, ExportCheck, Pixel, Precision
from service.contract.onnx_runtime import open_session
from service.contract.processors import processors
from training.decision.fbeta import sample_fbeta
from training.export.graphs import batches
from training.network.model import ExportNet

MAX_DIFFERENCE = 1e-4  # float32 probabilities; both sides round differently, no more
MAX_EVIDENCE_DIFFERENCE = 1e-3  # float32, relative to the largest evidence
MAX_F2_LOSS = 0.003  # int8 and float16

Chips = npt.NDArray[Pixel]
Probs = npt.NDArray[np.float32]


def torch_answers(net: ExportNet, chips_BHWC: Chips) -> tuple[Probs, npt.NDArray[np.float32]]:
    """Return float32 probabilities (B,L) and evidence (B,L,h,w) from PyTorch."""
    module = net.eval().float()
    with torch.inference_mode():
        parts = [module(torch.from_numpy(part)) for part in batches(chips_BHWC)]
    probs_BL, evidence_BLhw = (torch.cat(side).numpy() for side in zip(*parts, strict=True))
    return probs_BL, evidence_BLhw


def graph_answers(path: Path, chips_BHWC: Chips) -> tuple[Probs, npt.NDArray[np.float32]]:
    """Return float32 probabilities (B,L) and evidence (B,L,h,w) from ONNX Runtime on the CPU."""
    session = open_session(path, threads=processors())
    parts = [session.run([PROBABILITIES, EVIDENCE], {INPUT: part}) for part in batches(chips_BHWC)]
    probs_BL, evidence_BLhw = (np.concatenate(side) for side in zip(*parts, strict=True))
    return probs_BL, evidence_BLhw


def check_graph(
    path: Path,
    precision: Precision,
    expected: tuple[Probs, npt.NDArray[np.float32]],
    chips_BHWC: Chips,
    targets_BL: npt.NDArray[np.bool_],
    thresholds_L: npt.NDArray[np.float32],
) -> ExportCheck:
    """Compare a graph with PyTorch's answers.

    Raises:
        ValueError: float32 probabilities or evidence differ, or another precision loses F2.
    """
    probs_BL, evidence_BLhw = graph_answers(path, chips_BHWC)
    difference = float(np.abs(probs_BL - expected[0]).max())
    scale = float(np.abs(expected[1]).max())
    evidence_difference = float(np.abs(evidence_BLhw - expected[1]).max()) / max(scale, 1e-6)
    f2, expected_f2 = (
        float(sample_fbeta(probs >= thresholds_L, targets_BL).mean()) for probs in (probs_BL, expected[0])
    )
    where = f"{path.name} on {len(chips_BHWC)} chips"
    if precision == "float32" and not difference <= MAX_DIFFERENCE:
        raise ValueError(f"{where}: probabilities differ from PyTorch's by {difference:.2g}")
    if precision == "float32" and not evidence_difference <= MAX_EVIDENCE_DIFFERENCE:
        raise ValueError(
            f"{where}: evidence differs from PyTorch's by {evidence_difference:.2g} of its range"
        )
    if precision != "float32" and not expected_f2 - f2 <= MAX_F2_LOSS:
        raise ValueError(f"{where}: F2 falls from {expected_f2:.4f} to {f2:.4f}; calibrate on more chips")
    return ExportCheck(
        chips=len(chips_BHWC), max_probability_difference=difference, sample_f2_change=f2 - expected_f2
    )
