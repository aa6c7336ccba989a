"""A sealed bundle of real networks with random weights: as slow as a trained one, made in a minute.

Shape suffixes: M members, K candidates, G golden chips, L labels, B chips, H height, W width,
C bands, P precisions.
"""

import io
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from service.contract import bundle
from service.contract.bundle import Bundle
from service.contract.chips.bands import RGB
from service.contract.decision import strict_majority
from service.contract.manifest import InputSpec, Manifest
from service.contract.rules import Vote
from training.config.schema import MemberConfig
from training.export import golden
from training.export.graphs import write_float16, write_float32
from training.export.parity import graph_answers
from training.network.model import ChipNet, ExportNet
from training.network.preprocessing import Preprocessing

LABELS = [f"label_{index}" for index in range(17)]
SIZES_PX = {"inception_v3": 299}  # of chips of 256; others see chips as they are
THRESHOLD = 0.2

Chips = npt.NDArray[np.uint8]


def input_spec(side_px: int) -> InputSpec:
    """Return what the networks take."""
    return InputSpec(bands=RGB, height=side_px, width=side_px)


def chips_of(side_px: int) -> Chips:
    """Return generated chips (K,H,W,C), the same ones every time."""
    return golden.candidates(input_spec(side_px), seed=0).astype(np.uint8)


def jpegs_of(chips_BHWC: Chips) -> list[bytes]:
    """Encode chips as cameras would."""
    files = []
    for chip_HWC in chips_BHWC:
        stream = io.BytesIO()
        Image.fromarray(chip_HWC).save(stream, "JPEG", quality=90)
        files.append(stream.getvalue())
    return files


def random_net(architecture: str, side_px: int) -> ExportNet:
    """Build a network whose activations have the size of a trained one's.

    Its batch norms take their statistics from generated chips; without, half precision overflows.
    Its head is weak, or the noise of random weights would exceed what the self-test allows.
    """
    torch.manual_seed(0)
    size_px = SIZES_PX.get(architecture, 256) * side_px // 256
    member = MemberConfig(
        architecture=architecture, size_px=size_px, epochs=1, batch_size=1, learning_rate=1.0
    )
    preprocessing = Preprocessing(
        RGB, RGB, size_px=size_px, full_scale=255.0, mean=[127.5] * 3, std=[74.0] * 3
    )
    net = ChipNet(member, preprocessing, labels=len(LABELS), pretrained=False)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None  # the mean over what it has seen
    net.head.weight.data *= 0.25
    with torch.inference_mode():
        net.train()(torch.from_numpy(chips_of(side_px)[:8]))
    return ExportNet(net, LABELS, ()).eval()


def make_bundle(folder: Path, architectures: Sequence[str], members: int, side_px: int) -> Bundle:
    """Write float32 and float16 graphs; architectures take turns, each member has its own files."""
    folder.mkdir(parents=True)
    chips_KHWC, originals = chips_of(side_px)[:16], folder.parent / "originals"
    originals.mkdir()
    for architecture in architectures:
        float32 = originals / f"{architecture}.float32.onnx"
        write_float32(random_net(architecture, side_px), input_spec(side_px), float32)
        write_float16(float32, originals / f"{architecture}.float16.onnx")
    names = [architectures[index % len(architectures)] for index in range(members)]
    for index, name in enumerate(names):
        for precision in ("float32", "float16"):
            shutil.copyfile(originals / f"{name}.{precision}.onnx", folder / f"{index}.{precision}.onnx")
    graphs = {
        name: graph_answers(originals / f"{name}.float32.onnx", chips_KHWC)[0] for name in architectures
    }
    probs_MKL = np.stack([graphs[name] for name in names])
    return _seal(folder, names, chips_KHWC, probs_MKL)


def _seal(
    folder: Path, names: Sequence[str], chips_KHWC: Chips, probs_MKL: npt.NDArray[np.float32]
) -> Bundle:
    members, labels = len(names), len(LABELS)
    rule = Vote(
        thresholds=((THRESHOLD,) * labels,) * members,
        weights=((1,) * labels,) * members,
        quorum=(strict_majority(members),) * labels,
    )
    chosen_G = golden.most_decided(probs_MKL[None], rule.decider())
    probs_MGL = np.ascontiguousarray(probs_MKL[:, chosen_G])
    np.savez(
        folder / "golden.npz",
        chips=chips_KHWC[chosen_G],
        labels=rule.decider().decide(probs_MGL).labels_BL,
        probabilities_float32=probs_MGL,
        probabilities_float16=probs_MGL,
    )
    check = {"chips": 1, "max_probability_difference": 0, "sample_f2_change": 0}
    scores = {"fitting": "in-sample", "chips": 1, "sample_f2": 0, "macro_f2": 0, "mean_average_precision": 0}
    provenance = {"dataset": "none", "dataset_sha256": "0" * 64, "chips": 1, "licence": "CC0-1.0"}
    facts = {
        "name": "random",
        "version": "1",
        "description": "Random weights, for measuring speed.",
        "input": input_spec(chips_KHWC.shape[1]),
        "labels": [{"name": name, "group": "none", "prevalence": 0.1} for name in LABELS],
        "members": [
            {
                "name": str(index),
                "architecture": name,
                "graphs": {
                    precision: {"file": bundle.reference(folder, f"{index}.{precision}.onnx"), "check": check}
                    for precision in ("float32", "float16")
                },
            }
            for index, name in enumerate(names)
        ],
        "decision": rule,
        "golden": bundle.reference(folder, "golden.npz"),
        "scores": {**scores, "group_f2": {}, "labels": []},
        "provenance": {**provenance, "recipe": {}, "versions": {}},
    }
    return bundle.seal(folder, Manifest.model_validate(facts))
