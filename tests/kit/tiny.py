"""A training run that takes seconds: generated chips, two tiny networks, two folds.

A chip shows coloured stripes on noise; its labels name the colours, and `dark` a dimmed
chip. One network trains whole and resizes, the other is frozen and does not. Their
"ImageNet" weights are random, in files as timm would load them.

Shape suffixes: H height, W width, C bands.
"""

import csv
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import timm
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from service.contract.bundle import Bundle
from service.contract.decision import strict_majority
from service.contract.rules import Vote
from training.config.schema import About, DecisionConfig, MemberConfig, RunConfig
from training.data import dataset
from training.data.dataset import Dataset
from training.decision import tune
from training.decision.rule import TunedRule
from training.evaluation import evaluate
from training.export import export
from training.fit import fit, predict
from training.network.model import ChipNet, ExportNet, member_net
from training.run.folder import Run, Source

# The networks are too small to share out: threads would only wait for each other.
torch.set_num_threads(1)

SIZE_PX = 64
CHIPS = 64
COLOURS = {"blue": (20, 40, 230), "green": (20, 220, 30), "red": (230, 30, 20)}
LABELS = ["blue", "dark", "green", "red"]

FROZEN = MemberConfig(
    architecture="test_resnet",
    size_px=SIZE_PX,
    freeze="backbone",
    epochs=40,
    batch_size=16,
    learning_rate=0.1,
)
WHOLE = MemberConfig(
    architecture="test_byobnet",
    size_px=80,
    freeze="none",
    epochs=6,
    batch_size=8,
    learning_rate=3e-3,
)
CONFIG = RunConfig(
    recipe="tiny",
    members=(FROZEN, WHOLE),
    folds=2,
    fold_members="averaged",
    precisions=("float32", "float16", "int8"),
    height_px=SIZE_PX,
    width_px=SIZE_PX,
    decision=DecisionConfig(shrinkage=1.0),
    calibration_chips=32,
    check_chips=CHIPS,
    about=About(description="Stripes.", licence="CC0-1.0", sources=("Chips: drawn for the test.",)),
)
ONE_WHOLE = replace(CONFIG, members=(WHOLE,))
ONE_FROZEN = replace(CONFIG, members=(FROZEN,), precisions=("float32",))


def tags_of(index: int) -> list[str]:
    """Give every set of colours its turn, and dim every fourth chip."""
    colours = [colour for bit, colour in enumerate(COLOURS) if (index % 8) >> bit & 1]
    return sorted([*colours, *(["dark"] if index // 8 % 4 == 0 else [])])


def draw(tags: Sequence[str], seed: int) -> Image.Image:
    """Draw a chip with these labels."""
    random = np.random.default_rng(seed)
    pixels_HWC = random.integers(90, 140, (SIZE_PX, SIZE_PX, 3))
    starts = random.permutation(3) * (SIZE_PX // 3)
    for start, colour in zip(starts, (COLOURS[tag] for tag in tags if tag in COLOURS), strict=False):
        pixels_HWC[start : start + SIZE_PX // 3] = colour
    return Image.fromarray((pixels_HWC // (3 if "dark" in tags else 1)).astype(np.uint8))


def write_tags(path: Path, tags: Mapping[str, Sequence[str]]) -> None:
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows(
            [("image_name", "tags"), *((name, " ".join(row)) for name, row in tags.items())]
        )


def write_data(
    folder: Path, chips: int = CHIPS, tags_file: str = "labels.csv", chips_folder: str = "chips"
) -> Path:
    """Write a data set as a user would have it; return its folder."""
    (folder / chips_folder).mkdir(parents=True)
    tags = {f"chip_{index}": tags_of(index) for index in range(chips)}
    write_tags(folder / tags_file, tags)
    for seed, (name, row) in enumerate(tags.items()):
        draw(row, seed).save(folder / chips_folder / f"{name}.png")
    return folder


def write_weights(
    folder: Path, seed: int = 0, architectures: Sequence[str] = (FROZEN.architecture, WHOLE.architecture)
) -> Path:
    """Save a random network of each tiny architecture under the names that `--weights` wants."""
    folder.mkdir()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for architecture in architectures:
            network = timm.create_model(architecture)
            save_file(network.state_dict(), folder / f"{architecture}.safetensors")
    return folder


@cache
def source(base: Path) -> Source:
    """The tiny data set and the weights, written once under `base`, as all below."""
    return Source(data=write_data(base / "colours"), weights=write_weights(base / "weights"))


@cache
def evaluated(base: Path) -> Run:
    """The tiny run with every stage done but the export."""
    run = Run.start(base / "evaluated", CONFIG, source(base))
    dataset.prepare(run)
    fit.fit(run)
    predict.predict(run)
    tune.tune(run)
    evaluate.evaluate(run)
    return run


@cache
def exported(base: Path) -> tuple[Run, Bundle]:
    """The tiny run with its bundle."""
    run = copy_of(evaluated(base), base / "exported")
    return run, export.export(run, name="tiny", version="0.0.1")


def fresh_net(run: Run, member: MemberConfig) -> ChipNet:
    """A member's network with the tiny "ImageNet" weights."""
    return member_net(run, member, dataset.open_dataset(run), pretrained=True).eval()


def network_of(run: Run, member: MemberConfig, folds: Sequence[int]) -> ChipNet:
    """A trained network, the mean of some folds' weights, put together independently of the code."""
    net = fresh_net(run, member)
    states = [load_file(run.need_fit(member.name, fold)) for fold in folds]
    mean = {name: sum(state[name] for state in states) / len(states) for name in states[0]}
    net.load_state_dict(mean, strict=member.freeze == "none")
    return net


def served(net: ChipNet) -> ExportNet:
    """The network as it is exported."""
    return ExportNet(net, LABELS, ()).eval()


def plain_vote(members: int, threshold: float) -> TunedRule:
    """A majority in which every member has one threshold for all labels."""
    rule = Vote(
        thresholds=((threshold,) * len(LABELS),) * members,
        weights=((1,) * len(LABELS),) * members,
        quorum=(strict_majority(members),) * len(LABELS),
    )
    return TunedRule(rule)


def copy_of(run: Run, folder: Path) -> Run:
    """Copy a run to change it."""
    shutil.copytree(run.folder, folder)
    return replace(run, folder=folder)


def fitted(run: Run, member: MemberConfig, data: Dataset) -> dict[str, torch.Tensor]:
    """Fit a member without its first fold alone; return what it keeps."""
    path = run.fit_path(member.name, 0)
    for fold in range(1, run.config.folds):
        path.parent.mkdir(parents=True, exist_ok=True)
        run.fit_path(member.name, fold).touch()  # counts as fitted
    fit.fit_member(run, member, data)
    return load_file(path)
