"""Stage 0: labelled chips and their folds in the run's folder, for every later stage.

Shape suffixes: N chips, H height, W width, C bands, L labels.
"""

import csv
import json
import logging
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from service.bundle import InputSpec, Pixel
from training.folds import assign_folds
from training.labels import group_of_each, multi_hot
from training.reading import LabelledChips, find_tags, read_chips
from training.workspace import Run, whole_file, write_json

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Dataset:
    """Labelled chips as every later stage sees them."""

    title: str
    digest: str  # see `LabelledChips`
    names: list[str]
    labels: list[str]
    targets_NL: npt.NDArray[np.bool_]
    folds_N: npt.NDArray[np.int64]  # the fold that holds the chip out
    chips_NHWC: npt.NDArray[Pixel]  # memory-mapped

    @property
    def groups(self) -> list[str]:
        """Each label's report group."""
        return group_of_each(self.labels, self.targets_NL.mean(axis=0))

    def __len__(self) -> int:
        return len(self.names)


def input_spec(run: Run) -> InputSpec:
    """Return what the run's graphs will take."""
    return InputSpec(
        bands=run.config.bands,
        dtype=run.config.dtype,
        height=run.config.height_px,
        width=run.config.width_px,
    )


def prepare(run: Run) -> Dataset:
    """Read and check everything, once; return the dataset.

    Raises:
        ValueError: the data cannot be used as it is; says what to repair.
    """
    facts = run.folder / "dataset.json"
    if not facts.exists():
        for member in run.config.members:
            run.weights_path(member.architecture)  # a missing file now, not hours later
        _write(run, read_chips(run.source, input_spec(run), run.folder))
    elif not run.is_fresh(facts, [find_tags(run.source)]):
        raise ValueError(f"{find_tags(run.source)}: changed since this run began; use another --out")
    return open_dataset(run)


def open_dataset(run: Run) -> Dataset:
    """Map what `prepare` wrote."""
    facts = json.loads(run.need("dataset.json", "prepare").read_text(encoding="utf-8"))
    with (run.folder / "chips.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    return Dataset(
        title=facts["title"],
        digest=facts["digest"],
        names=[row["image_name"] for row in rows],
        labels=facts["labels"],
        targets_NL=multi_hot([row["tags"].split() for row in rows], facts["labels"]),
        folds_N=np.array([int(row["fold"]) for row in rows]),
        chips_NHWC=np.load(run.folder / "chips.npy", mmap_mode="r")[: len(rows)],
    )


def _write(run: Run, chips: LabelledChips) -> None:
    tags = chips.tags
    absent = [tags.labels[column] for column in np.flatnonzero(~tags.targets_NL.any(axis=0))]
    if absent:
        log.warning("no chip has %s: these labels can be neither learned nor scored", ", ".join(absent))
    folds_N = assign_folds(tags.targets_NL, run.config.folds, run.config.seed)
    with (
        whole_file(run.folder / "chips.csv") as partial,
        partial.open("w", newline="", encoding="utf-8") as stream,
    ):
        writer = csv.writer(stream)
        writer.writerow(("image_name", "tags", "fold"))
        for name, row, fold in zip(tags.names, tags.rows(), folds_N, strict=True):
            writer.writerow((name, " ".join(row), fold))
    facts = {"title": run.source.data.resolve().name, "digest": chips.digest, "labels": tags.labels}
    write_json(run.folder / "dataset.json", facts)
    log.info("%d chips, %d labels, %d folds", len(tags.names), len(tags.labels), run.config.folds)
