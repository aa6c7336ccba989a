"""Stage 0: labelled chips and their folds in the run's folder, for every later stage.

Shape suffixes: S slices, N chips, H height, W width, C bands, L labels.
"""

import csv
import json
import logging
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from service.contract.manifest import InputSpec, Pixel
from training.data.folds import assign_folds
from training.data.groups import Grouping, find_groups, read_column
from training.data.labels import group_of_each, multi_hot
from training.data.reading import LabelledChips, find_tags, read_chips
from training.run.files import write_csv, write_json
from training.run.folder import Run

log = logging.getLogger(__name__)

SLICE = 32


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
    mean_C: npt.NDArray[np.float64]  # of each band over all chips, in raw units
    std_C: npt.NDArray[np.float64]
    grouping: Grouping  # chips that belong together are in one fold
    apart: int  # how many of them would have had another of their group in another fold otherwise

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
    else:
        for table in (find_tags(run.source), run.source.exclude, run.source.audit):
            if table and not run.is_fresh(facts, [table]):
                raise ValueError(f"{table}: changed since this run began; use another --out")
    return open_dataset(run)


def open_dataset(run: Run) -> Dataset:
    """Map what `prepare` wrote."""
    facts = json.loads(run.need("dataset.json", "prepare").read_text(encoding="utf-8"))
    with (run.folder / "chips.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    chips_NHWC = np.load(run.folder / "chips.npy", mmap_mode="r")[: len(rows)]
    # Runs prepared by earlier versions lack the statistics and groups.
    statistics = facts.get("statistics") or band_statistics(chips_NHWC)
    return Dataset(
        title=facts["title"],
        digest=facts["digest"],
        names=[row["image_name"] for row in rows],
        labels=facts["labels"],
        targets_NL=multi_hot([row["tags"].split() for row in rows], facts["labels"]),
        folds_N=np.array([int(row["fold"]) for row in rows]),
        chips_NHWC=chips_NHWC,
        mean_C=np.array(statistics["mean"]),
        std_C=np.array(statistics["std"]),
        grouping=Grouping(
            np.array([int(row.get("group") or index) for index, row in enumerate(rows)]),
            facts.get("joined"),
            facts.get("note", ""),
        ),
        apart=facts.get("apart", 0),
    )


def band_statistics(chips_NHWC: npt.NDArray[Pixel]) -> dict[str, list[float]]:
    """Return each band's mean and standard deviation, a few chips in memory at a time."""
    slices = [chips_NHWC[start : start + SLICE] for start in range(0, len(chips_NHWC), SLICE)]
    sizes = [len(part_NHWC) for part_NHWC in slices]
    means_SC = np.array([part_NHWC.mean(axis=(0, 1, 2), dtype=np.float64) for part_NHWC in slices])
    variances_SC = np.array([part_NHWC.var(axis=(0, 1, 2), dtype=np.float64) for part_NHWC in slices])
    mean_C = np.average(means_SC, axis=0, weights=sizes)
    # Within the slices, and between them.
    variance_C = np.average(variances_SC + (means_SC - mean_C) ** 2, axis=0, weights=sizes)
    return {"mean": mean_C.tolist(), "std": np.sqrt(variance_C).tolist()}


def _write(run: Run, chips: LabelledChips) -> None:
    tags = chips.tags
    absent = [tags.labels[column] for column in np.flatnonzero(~tags.targets_NL.any(axis=0))]
    if absent:
        log.warning("no chip has %s: these labels can be neither learned nor scored", ", ".join(absent))
    grouping = _grouping(run, chips)
    folds_N = assign_folds(tags.targets_NL, run.config.folds, run.config.seed, grouping.groups_N)
    alone_N = assign_folds(tags.targets_NL, run.config.folds, run.config.seed)
    apart = int(_has_another_fold(alone_N, grouping.groups_N).sum())
    if grouping.joined:
        log.info("%s", grouping.sentence(apart))
    rows = zip(tags.names, map(" ".join, tags.rows()), folds_N, grouping.groups_N, strict=True)
    write_csv(run.folder / "chips.csv", ("image_name", "tags", "fold", "group"), rows)
    facts = {
        "title": run.source.data.resolve().name,
        "digest": chips.digest,
        "labels": tags.labels,
        "statistics": band_statistics(chips.chips_NHWC),
        "joined": grouping.joined,
        "note": grouping.note,
        "apart": apart,
    }
    write_json(run.folder / "dataset.json", facts)
    log.info("%d chips, %d labels, %d folds", len(tags.names), len(tags.labels), run.config.folds)


def _grouping(run: Run, chips: LabelledChips) -> Grouping:
    source, column = run.source, None
    if source.group:
        column = source.group, read_column(find_tags(source), source.group, chips.tags.names)
    return find_groups(chips.chips_NHWC, chips.files, run.config.folds, source.block_km, column)


def _has_another_fold(
    folds_N: npt.NDArray[np.int64], groups_N: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    """Tell of each chip whether another of its group is in another fold."""
    lowest_G, highest_G = np.full(groups_N.max() + 1, folds_N.max()), np.zeros(groups_N.max() + 1, np.int64)
    np.minimum.at(lowest_G, groups_N, folds_N)
    np.maximum.at(highest_G, groups_N, folds_N)
    return np.asarray((lowest_G < highest_G)[groups_N])
