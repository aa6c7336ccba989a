"""Chips of coloured stripes, tables of their tags, and a run made of them without a network.

A chip shows coloured stripes on noise; its labels name the colours, and `dark` a dimmed chip.

Shape suffixes: A architectures, N chips, L labels, H height, W width, C bands.
"""

import csv
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from service.contract.decision import strict_majority
from service.contract.rules import Vote
from training.config.schema import About, DecisionConfig, MemberConfig, RunConfig
from training.data.dataset import open_dataset, prepare
from training.data.out_of_fold import OutOfFold, write_predictions
from training.decision.rule import TunedRule
from training.decision.tune import tune
from training.evaluation.evaluate import evaluate
from training.run.folder import Run, Source

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


@cache
def source(base: Path) -> Source:
    """The chips and their tags, written once under `base`."""
    return Source(data=write_data(base / "colours"))


@cache
def evaluated(base: Path) -> Run:
    """A run that is scored; what its networks say is the truth in noise."""
    run = Run.start(base / "painted", CONFIG, source(base))
    prepare(run)
    dataset = open_dataset(run)
    random = np.random.default_rng(0)
    noise_ANL = random.normal(scale=2.0, size=(len(CONFIG.members), *dataset.targets_NL.shape))
    probs_ANL = 1 / (1 + np.exp(-(np.where(dataset.targets_NL, 2.0, -2.0) + noise_ANL)))
    write_predictions(run, OutOfFold(probs_ANL.astype(np.float32), dataset.targets_NL, dataset.folds_N))
    tune(run)
    evaluate(run)
    return run


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
