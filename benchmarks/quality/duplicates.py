"""Do copies of chips make scores too high? Random labels, which nobody can learn, on real chips.

    python -m benchmarks.quality.duplicates [--chips N] [--weights FOLDER]

Chips of UC Merced get ten random labels, each on 0.3 of them. A head on ResNet50 learns from them
alone; with a copy of each beside it, recompressed as JPEG of quality 80, in the folds that
`prepare` makes; and in folds that do not know which chips belong together. Cross-fitted mean
average precision, with 95 % bootstrap intervals over chips (over groups where they are known).
Runs are kept in `runs/duplicates/`. Ten minutes of two cores.

Shape suffixes: N chips, L labels.
"""

import argparse
import csv
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.harness.data import data_folder
from service.contract.manifest import Scores
from training.config.recipes import heads
from training.config.schema import RunConfig
from training.data.dataset import open_dataset, prepare
from training.data.folds import assign_folds
from training.decision.tune import tune
from training.evaluation.evaluate import evaluate
from training.fit.fit import fit
from training.fit.predict import predict
from training.run.files import write_csv
from training.run.folder import Run, Source

FOLDER = Path("runs/duplicates")
LABELS, PREVALENCE, QUALITY, SEED = 10, 0.3, 80, 0


def config() -> RunConfig:
    """Return `heads` with ResNet50 alone and half of the views."""
    base = heads()
    member = next(member for member in base.members if member.architecture == "resnet50")
    return replace(base, recipe="duplicates", members=(replace(member, cached_views=4),))


def write_data(folder: Path, chips: list[Path], *, twice: bool) -> Path:
    """Write chips with random labels, if wanted each with a copy of the same labels."""
    if (folder / "labels.csv").exists():
        return folder
    (folder / "chips").mkdir(parents=True, exist_ok=True)
    random_NL = np.random.default_rng(SEED).random((len(chips), LABELS)) < PREVALENCE
    rows = []
    for chip, row_L in zip(chips, random_NL, strict=True):
        tags = " ".join(f"label{label}" for label in np.flatnonzero(row_L))
        shutil.copyfile(chip, folder / "chips" / chip.name)
        rows.append((chip.stem, tags))
        if twice:
            Image.open(chip).save(folder / "chips" / f"{chip.stem}-again.jpg", quality=QUALITY)
            rows.append((f"{chip.stem}-again", tags))
    write_csv(folder / "labels.csv", ("image_name", "tags"), rows)
    return folder


def forget_groups(run: Run) -> None:
    """Fold a prepared run as if no chip belonged to another; once."""
    dataset = open_dataset(run)
    if not dataset.grouping.shared_N.any():
        return
    folds_N = assign_folds(dataset.targets_NL, run.config.folds, run.config.seed)
    with (run.folder / "chips.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    apart = [
        (row["image_name"], row["tags"], fold, index)
        for index, (row, fold) in enumerate(zip(rows, folds_N, strict=True))
    ]
    write_csv(run.folder / "chips.csv", ("image_name", "tags", "fold", "group"), apart)


def scored(folder: Path, source: Source, *, grouped: bool = True) -> tuple[Run, Scores]:
    """Do all stages up to the scores."""
    run = Run.start(folder, config(), source)
    prepare(run)
    if not grouped:
        forget_groups(run)
        if not (run.folder / "features").exists():  # the same chips in the same order
            (run.folder / "features").symlink_to((folder.parent / "grouped" / "features").resolve())
    for stage in (fit, predict, tune):
        stage(run)
    return run, evaluate(run)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Do copies of chips make scores too high?")
    parser.add_argument("--chips", type=int, default=300)
    parser.add_argument("--weights", type=Path, help="Folder of resnet50.safetensors; downloaded by default.")
    asked = parser.parse_args()
    files = sorted((data_folder("ucmerced") / "chips").iterdir())
    drawn_N = np.sort(np.random.default_rng(SEED).permutation(len(files))[: asked.chips])
    chips = [files[index] for index in drawn_N]
    folder = FOLDER / str(len(chips))
    once = Source(data=write_data(folder / "data-once", chips, twice=False), weights=asked.weights)
    twice = replace(once, data=write_data(folder / "data-twice", chips, twice=True))
    found = {
        "each chip once": scored(folder / "once", once),
        "twice, groups in one fold": scored(folder / "grouped", twice),
        "twice, folds that know no groups": scored(folder / "ungrouped", twice, grouped=False),
    }
    print(f"\n{'':<34}{'chips':>7}{'groups':>8}{'mAP':>8}   95 % interval")
    for name, (run, scores) in found.items():
        dataset, interval = open_dataset(run), scores.mean_average_precision_interval
        assert interval
        groups = len(np.unique(dataset.grouping.groups_N))
        print(
            f"{name:<34}{len(dataset):>7}{groups:>8}{scores.mean_average_precision:>8.3f}   "
            f"{interval[0]:.3f} to {interval[1]:.3f}"
        )


if __name__ == "__main__":
    main()
