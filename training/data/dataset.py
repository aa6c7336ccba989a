"""Stage 0: labelled chips and their folds in the run's folder, for every later stage.

Shape suffixes: S slices, N chips, H height, W width, C bands, L labels.
"""

import csv
import json
import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from service.contract.chips.values import blank_shares
from service.contract.manifest import InputSpec, Pixel
from training.config.schema import RunConfig
from training.data.folds import assign_folds
from training.data.groups import Grouping, find_groups, read_column
from training.data.labels import group_of_each, multi_hot
from training.data.reading import LabelledChips, read_chips
from training.data.tables.forms import find_tags, watched
from training.run.files import unguarded, write_csv, write_json
from training.run.folder import Run

log = logging.getLogger(__name__)

SLICE = 32
SAMPLE = 512  # chips whose values tell the usual ones


@dataclass(frozen=True)
class Blank:
    """How much of the chips shows nothing: pixels whose every band has the run's `nodata`."""

    share: float  # of all pixels
    mostly: int  # chips of which more than half shows nothing

    def sentence(self, chips: int) -> str:
        """Say it of so many chips."""
        if not self.share:
            return "Every pixel shows something: none is nodata."
        return (
            f"{self.share:.2%} of the pixels show nothing (nodata); of {self.mostly:,} of {chips:,} chips, "
            "more than half shows nothing."
        )


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
    median_C: npt.NDArray[np.float64]
    # Between which all but two in a thousand of the pixels that show something lie.
    limits_C2: npt.NDArray[np.float64]
    grouping: Grouping  # chips that belong together are in one fold
    apart: int  # how many of them would have had another of their group in another fold otherwise
    blank: Blank | None = None  # None: the run has no value for pixels that show nothing

    @property
    def groups(self) -> list[str]:
        """Each label's report group."""
        return group_of_each(self.labels, self.targets_NL.mean(axis=0))

    def __len__(self) -> int:
        return len(self.names)


def input_spec(run: Run) -> InputSpec:
    """Return what the run's graphs will take."""
    return spec_of(run.config)


def spec_of(config: RunConfig) -> InputSpec:
    """Return what a configuration's graphs will take."""
    return InputSpec(
        bands=config.bands,
        dtype=config.dtype,
        height=config.height_px,
        width=config.width_px,
        sensor=config.sensor,
        file_bands=config.file_bands,
        resolution_m=config.resolution_m,
        nodata=config.nodata,
        grey=config.grey,
    )


def known_spec(run: Run, dataset: "Dataset") -> InputSpec:
    """Return the same with what the training chips tell: their usual values."""
    if run.config.dtype == "uint8":
        return input_spec(run)
    return input_spec(run).model_copy(update={"limits": tuple(map(tuple, dataset.limits_C2.tolist()))})


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
        for table in (*watched(find_tags(run.source)), run.source.exclude, run.source.audit):
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
    statistics = facts.get("statistics") or {}
    if "limits" not in statistics:
        statistics |= band_statistics(chips_NHWC, run.config.nodata)
    blank = facts["nodata"] if "nodata" in facts else blank_facts(chips_NHWC, run.config.nodata)
    return Dataset(
        title=facts["title"],
        digest=facts["digest"],
        names=[unguarded(row["image_name"]) for row in rows],
        labels=facts["labels"],
        targets_NL=multi_hot([unguarded(row["tags"]).split() for row in rows], facts["labels"]),
        folds_N=np.array([int(row["fold"]) for row in rows]),
        chips_NHWC=chips_NHWC,
        mean_C=np.array(statistics["mean"]),
        std_C=np.array(statistics["std"]),
        median_C=np.array(statistics["median"]),
        limits_C2=np.array(statistics["limits"]),
        grouping=Grouping(
            np.array([int(row.get("group") or index) for index, row in enumerate(rows)]),
            facts.get("joined"),
            facts.get("note", ""),
        ),
        apart=facts.get("apart", 0),
        blank=Blank(**blank) if blank else None,
    )


def band_statistics(chips_NHWC: npt.NDArray[Pixel], nodata: float | None = None) -> dict[str, Any]:
    """Return each band's mean, deviation, median and limits, some chips in memory at a time.

    Median and limits are those of at most `SAMPLE` chips. Pixels that show nothing count nowhere.
    """
    sums_C, squares_C, counts_C = (np.zeros(chips_NHWC.shape[-1]) for _ in range(3))
    for start in range(0, len(chips_NHWC), SLICE):
        part_PC = chips_NHWC[start : start + SLICE].reshape(-1, chips_NHWC.shape[-1]).astype(np.float64)
        shown_PC = np.ones(part_PC.shape, np.bool_) if nodata is None else part_PC != nodata
        counts_C += shown_PC.sum(axis=0)
        sums_C += part_PC.sum(axis=0, where=shown_PC)
        squares_C += np.square(part_PC).sum(axis=0, where=shown_PC)
    mean_C = sums_C / np.maximum(counts_C, 1)
    std_C = np.sqrt(np.maximum(squares_C / np.maximum(counts_C, 1) - mean_C**2, 0))
    step = -(-len(chips_NHWC) // SAMPLE)
    quantiles_3C = _quantiles(chips_NHWC[::step], nodata)
    return {
        "mean": mean_C.tolist(),
        "std": np.where(std_C > 0, std_C, 1.0).tolist(),
        "median": quantiles_3C[1].tolist(),
        "limits": quantiles_3C[[0, 2]].T.tolist(),
    }


def blank_facts(chips_NHWC: npt.NDArray[Pixel], nodata: float | None) -> dict[str, Any] | None:
    """Return what `Blank` holds; None without a value for pixels that show nothing."""
    if nodata is None:
        return None
    starts = range(0, len(chips_NHWC), SLICE)
    shares_N = np.concatenate([blank_shares(chips_NHWC[start : start + SLICE], nodata) for start in starts])
    return {"share": float(shares_N.mean()), "mostly": int((shares_N > 0.5).sum())}


def _quantiles(chips_NHWC: npt.NDArray[Pixel], nodata: float | None) -> npt.NDArray[np.float64]:
    found = []
    for band in range(chips_NHWC.shape[-1]):
        values = chips_NHWC[..., band].ravel()
        shown = values if nodata is None else values[values != nodata]
        found.append(np.quantile(shown, (0.001, 0.5, 0.999)) if shown.size else np.zeros(3))
    return np.array(found).T


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
    blank = blank_facts(chips.chips_NHWC, run.config.nodata)
    if blank:
        log.info("%s", Blank(**blank).sentence(len(tags.names)))
    facts = {
        "title": run.source.data.resolve().name,
        "digest": chips.digest,
        "labels": tags.labels,
        "statistics": band_statistics(chips.chips_NHWC, run.config.nodata),
        "nodata": blank,
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
