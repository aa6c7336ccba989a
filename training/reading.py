"""A folder of chips and a tags CSV → one file of decoded pixels, with the tags beside it.

Every chip goes through the service's own decoder, once. All bad rows are reported
together, before anything long starts. Knows no folds and no run.

Shape suffixes: N chips, H height, W width, C bands, L labels.
"""

import csv
import hashlib
import logging
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from service.bundle import InputSpec
from service.chips import decode_chip
from service.errors import ChipError
from training.labels import Tags, read_tags
from training.progress import track
from training.workspace import Source, allocated_array, whole_file

log = logging.getLogger(__name__)

TAGS_FILES = ("labels.csv", "tags.csv", "train_v2.csv", "train_classes.csv")
CHIP_FOLDERS = ("chips", "train-jpg", "jpg", "images", ".")
SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff")
SHOWN_BAD_ROWS = 10
SLICE = 256


@dataclass(frozen=True)
class LabelledChips:
    """Rows whose chips could be read."""

    tags: Tags
    digest: str  # sha256 over names, tags and the chip files' bytes, in order
    chips_NHWC: npt.NDArray[np.uint8]  # memory-mapped


def read_chips(source: Source, spec: InputSpec, folder: Path) -> LabelledChips:
    """Decode everything into `chips.npy` of a folder, listing what was left out in `excluded.csv`.

    Raises:
        ValueError: no tags file, no chip folder, or bad rows (unless they are to be skipped).
    """
    tags = read_tags(find_tags(source))
    paths, bad = find_chips(source, tags.names)
    row_of = {name: row for row, name in enumerate(tags.names)}
    rows = tags.rows()
    keep: list[int] = []
    sha256 = hashlib.sha256()
    path = folder / "chips.npy"
    with whole_file(path) as partial, ThreadPoolExecutor() as pool:
        shape = (len(paths), spec.height, spec.width, len(spec.bands))
        pixels_NHWC = allocated_array(partial, shape, np.uint8)
        decoded = _decode_all(list(paths.values()), spec, pool)
        for name, (digest, chip) in zip(paths, track(decoded, "decode chips", len(paths)), strict=True):
            if isinstance(chip, str):
                bad[name] = chip
                continue
            pixels_NHWC[len(keep)] = chip
            keep.append(row_of[name])
            sha256.update(f"{name}\0{' '.join(rows[row_of[name]])}\0".encode() + digest)
        pixels_NHWC.flush()
    _report(source, bad, folder)
    kept = Tags([tags.names[row] for row in keep], tags.labels, tags.targets_NL[keep])
    return LabelledChips(kept, sha256.hexdigest(), np.load(path, mmap_mode="r")[: len(keep)])


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
        images = [file for file in sorted(folder.glob("*")) if file.suffix.lower() in SUFFIXES]
        files = {name: file for file in images for name in (file.name, file.stem)}
        paths = {name: files[name] for name in names if name in files}
        if paths:
            return paths, {name: f"no chip in {folder}" for name in names if name not in files}
    tried = ", ".join(str(folder) for folder in folders)
    raise ValueError(f"no chip of the tags file is in {tried}; name the chips' folder with --chips")


def _decode_all(
    files: list[Path], spec: InputSpec, pool: ThreadPoolExecutor
) -> Iterator[tuple[bytes, npt.NDArray[np.uint8] | str]]:
    """Decode in slices, so that fast decoders never run far ahead of a slow disk."""
    for start in range(0, len(files), SLICE):
        yield from pool.map(lambda file: _decode(file, spec), files[start : start + SLICE])


def _decode(path: Path, spec: InputSpec) -> tuple[bytes, npt.NDArray[np.uint8] | str]:
    """Return a file's sha256 and its chip, or the reason why there is none."""
    try:
        data = path.read_bytes()
        return hashlib.sha256(data).digest(), decode_chip(data, spec)
    except (ChipError, OSError) as error:
        return b"", f"{path}: {error}"


def _report(source: Source, bad: dict[str, str], folder: Path) -> None:
    if not bad:
        return
    shown = "\n".join(f"  {name}: {why}" for name, why in list(bad.items())[:SHOWN_BAD_ROWS])
    message = f"{len(bad)} rows have no usable chip, the first being\n{shown}"
    if not source.skip_bad:
        raise ValueError(f"{message}\nrepair them, or leave them out with --skip-bad")
    with whole_file(folder / "excluded.csv") as partial, partial.open("w", newline="") as stream:
        csv.writer(stream).writerows([("image_name", "reason"), *bad.items()])
    log.warning("%s\nleft out", message)
