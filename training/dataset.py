"""Stage 0: a folder of chips and a tags CSV → decoded chips, targets and folds in the run's folder.

Every chip goes through the service's own decoder, once; later stages map the pixels
from disk. Bad rows are all reported before any training starts.

Shape suffixes: N chips, H height, W width, C bands, L labels.
"""

import csv
import hashlib
import json
import logging
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from service.bundle import InputSpec
from service.chips import RGB, decode_chip
from service.errors import ChipError
from training.folds import assign_folds
from training.labels import Tags, multi_hot, read_tags
from training.progress import track
from training.workspace import Run, Source, whole_file, write_json

log = logging.getLogger(__name__)

TAGS_FILES = ("labels.csv", "tags.csv", "train_v2.csv", "train_classes.csv")
CHIP_FOLDERS = ("chips", "train-jpg", "jpg", "images", ".")
SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff")
SHOWN_BAD_ROWS = 10


@dataclass(frozen=True)
class Dataset:
    """Labelled chips as every later stage sees them."""

    title: str
    digest: str  # sha256 over names, tags and the chip files' bytes, in order
    names: list[str]
    labels: list[str]
    targets_NL: npt.NDArray[np.bool_]
    folds_N: npt.NDArray[np.int64]
    chips_NHWC: npt.NDArray[np.uint8]  # memory-mapped

    def __len__(self) -> int:
        return len(self.names)


def input_spec(run: Run) -> InputSpec:
    """Return what the run's graphs will take."""
    return InputSpec(bands=RGB, height=run.config.height_px, width=run.config.width_px)


def prepare(run: Run) -> Dataset:
    """Decode and check everything, once; return the dataset.

    Raises:
        ValueError: no tags file, no chip folder, or bad rows (unless they are to be skipped).
    """
    if not (run.folder / "dataset.json").exists():
        tags_path = find_tags(run.source)
        tags = read_tags(tags_path)
        paths, missing = find_chips(run.source, tags.names)
        keep, bad, digest = _decode_all(run, tags, paths)
        _report(run, missing | bad)
        _write(run, tags, keep, digest)
    return open_dataset(run)


def open_dataset(run: Run) -> Dataset:
    """Map what `prepare` wrote."""
    facts = json.loads(run.need("dataset.json", "prepare").read_text())
    with run.need("chips.csv", "prepare").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    return Dataset(
        title=facts["title"],
        digest=facts["digest"],
        names=[row["image_name"] for row in rows],
        labels=facts["labels"],
        targets_NL=multi_hot([row["tags"].split() for row in rows], facts["labels"]),
        folds_N=np.array([int(row["fold"]) for row in rows]),
        chips_NHWC=np.load(run.need("chips.npy", "prepare"), mmap_mode="r")[: len(rows)],
    )


def find_tags(source: Source) -> Path:
    """Return the tags CSV: the given one, a well-known name, or the folder's only CSV."""
    if source.tags:
        return source.tags
    if not source.data.is_dir():
        raise ValueError(f"{source.data}: no such folder; --data wants a folder of chips with a tags CSV")
    known = [source.data / name for name in TAGS_FILES if (source.data / name).exists()]
    found = known or sorted(source.data.glob("*.csv"))
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "no CSV"
        raise ValueError(f"{source.data}: found {names}; name the tags file with --tags")
    return found[0]


def find_chips(source: Source, names: Iterable[str]) -> tuple[dict[str, Path], dict[str, str]]:
    """Return each name's file, and the reason for each name without one."""
    folders = [source.chips] if source.chips else [source.data / name for name in CHIP_FOLDERS]
    for folder in folders:
        files = {p.stem: p for p in sorted(folder.glob("*")) if p.suffix.lower() in SUFFIXES}
        paths = {name: files[name] for name in names if name in files}
        if paths:
            return paths, {name: f"no chip in {folder}" for name in names if name not in files}
    tried = ", ".join(str(folder) for folder in folders)
    raise ValueError(f"no chip of the tags file is in {tried}; name the chips' folder with --chips")


def _decode_all(run: Run, tags: Tags, paths: dict[str, Path]) -> tuple[list[str], dict[str, str], str]:
    """Decode into chips.npy; return the good names, the bad ones' reasons, and the digest."""
    spec = input_spec(run)
    row_of = {name: row for row, name in enumerate(tags.names)}
    keep: list[str] = []
    bad: dict[str, str] = {}
    digest = hashlib.sha256()

    def decode(item: tuple[str, Path]) -> tuple[str, bytes, npt.NDArray[np.uint8] | str]:
        name, path = item
        try:
            data = path.read_bytes()
            return name, hashlib.sha256(data).digest(), decode_chip(data, spec)
        except (ChipError, OSError) as error:
            return name, b"", f"{path}: {error}"

    with whole_file(run.folder / "chips.npy") as partial, ThreadPoolExecutor() as pool:
        shape = (len(paths), spec.height, spec.width, len(spec.bands))
        pixels = np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=shape)
        for name, file_digest, chip in track(pool.map(decode, paths.items()), "decode chips", len(paths)):
            if isinstance(chip, str):
                bad[name] = chip
                continue
            pixels[len(keep)] = chip
            keep.append(name)
            digest.update(f"{name}\0{tags.targets_NL[row_of[name]].tolist()}".encode() + file_digest)
        pixels.flush()
    return keep, bad, digest.hexdigest()


def _report(run: Run, excluded: dict[str, str]) -> None:
    if not excluded:
        return
    shown = "\n".join(f"  {name}: {why}" for name, why in list(excluded.items())[:SHOWN_BAD_ROWS])
    message = f"{len(excluded)} rows have no usable chip, the first being\n{shown}"
    if not run.source.skip_bad:
        raise ValueError(f"{message}\nrepair them, or leave them out with --skip-bad")
    with whole_file(run.folder / "excluded.csv") as partial, partial.open("w", newline="") as stream:
        csv.writer(stream).writerows([("image_name", "reason"), *excluded.items()])
    log.warning("%s\nleft out; the whole list is in excluded.csv", message)


def _write(run: Run, tags: Tags, keep: list[str], digest: str) -> None:
    chosen = set(keep)
    rows_K = [row for row, name in enumerate(tags.names) if name in chosen]
    targets_NL = tags.targets_NL[rows_K]
    absent = [tags.labels[column] for column in np.flatnonzero(~targets_NL.any(axis=0))]
    if absent:
        log.warning("no chip has %s: these labels can be neither learned nor scored", ", ".join(absent))
    folds_N = assign_folds(targets_NL, run.config.folds, run.config.seed)
    with whole_file(run.folder / "chips.csv") as partial, partial.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("image_name", "tags", "fold"))
        for name, target_L, fold in zip(keep, targets_NL, folds_N, strict=True):
            writer.writerow((name, " ".join(np.array(tags.labels)[target_L]), fold))
    facts = {"title": run.source.data.resolve().name, "digest": digest, "labels": tags.labels}
    write_json(run.folder / "dataset.json", facts)
    log.info("%d chips, %d labels, %d folds", len(keep), len(tags.labels), run.config.folds)
