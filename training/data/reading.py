"""A folder of chips and a table of tags → one file of decoded pixels, with the tags beside it.

Every chip goes through the service's own decoder, once. All bad rows are reported
together, before anything long starts. Knows no folds and no run.

Shape suffixes: N chips, H height, W width, C bands, L labels.
"""

import hashlib
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from service.contract.chips.band_files import BandFiles, ChipSource, decode_band_files, path_of
from service.contract.chips.bands import RGB
from service.contract.chips.decode import decode_chip
from service.contract.errors import ChipError
from service.contract.files import atomic_write
from service.contract.manifest import InputSpec, Pixel
from training.data.labels import Tags
from training.data.names import TIF_SUFFIXES, bare, chip_files, find_chips
from training.data.tables.delimited import read_delimited
from training.data.tables.forms import find_tags, read_tags
from training.run.files import allocated_array, write_csv
from training.run.folder import Source
from training.run.progress import in_threads

log = logging.getLogger(__name__)

SHOWN_BAD_ROWS = 10


@dataclass(frozen=True)
class LabelledChips:
    """Rows whose chips could be read."""

    tags: Tags
    digest: str  # sha256 over names, tags and the chip files' bytes, in order
    chips_NHWC: npt.NDArray[Pixel]  # memory-mapped
    files: list[ChipSource]  # that each was read from


def read_labels(source: Source) -> Tags:
    """Find and read the table of tags, and say what is in it."""
    return read_tags(find_tags(source), source.separator, source.group)


def read_chips(source: Source, spec: InputSpec, folder: Path, tags: Tags | None = None) -> LabelledChips:
    """Decode everything into `chips.npy` of a folder, listing what was left out in `excluded.csv`.

    Args:
        source: where the chips and their tags lie.
        spec: what the chips are decoded to.
        folder: where the files are written.
        tags: the source's tags, if they have been read.

    Raises:
        ValueError: no table of tags, no chip folder, rows and chips that are not one to one, or bad
            rows (unless they are to be skipped).
    """
    tags = tags or read_labels(source)
    excluded = find_excluded(source, tags.names)
    paths, bad = find_chips(source, [name for name in tags.names if name not in excluded], spec)
    paths = prefer_tif(source, spec, paths)
    row_of = {name: row for row, name in enumerate(tags.names)}
    rows = tags.rows()
    keep: list[int] = []
    sha256 = hashlib.sha256()
    path = folder / "chips.npy"
    with atomic_write(path) as whole:
        shape = (len(paths), spec.height, spec.width, len(spec.bands))
        pixels_NHWC = allocated_array(whole, shape, spec.dtype)
        decoded = decode_files(list(paths.values()), spec, "decode chips")
        for name, (digest, chip) in zip(paths, decoded, strict=True):
            if isinstance(chip, str):
                bad[name] = chip
                continue
            pixels_NHWC[len(keep)] = chip
            keep.append(row_of[name])
            sha256.update(f"{name}\0{' '.join(rows[row_of[name]])}\0".encode() + digest)
        pixels_NHWC.flush()
    _report(source, bad, excluded, folder)
    kept = Tags([tags.names[row] for row in keep], tags.labels, tags.targets_NL[keep])
    files = [paths[name] for name in kept.names]
    return LabelledChips(kept, sha256.hexdigest(), np.load(path, mmap_mode="r")[: len(keep)], files)


def decode_files(
    files: Sequence[ChipSource], spec: InputSpec, title: str
) -> Iterator[tuple[bytes, npt.NDArray[Pixel] | str]]:
    """Yield each chip's sha256 over its files and its pixels, or the reason for none, in order."""
    return in_threads(partial(_decode, spec=spec), files, title)


def find_excluded(source: Source, names: Iterable[str]) -> dict[str, str]:
    """Return the names that the run's list leaves out, with the reason.

    A listed name that no row has is logged: a list may be of more chips than these, or misspelt.

    Raises:
        ValueError: the list is no CSV with the column image_name, or leaves no row.
    """
    if not source.exclude:
        return {}
    listed = {bare(name): why for name, why in _column(source.exclude, "reason", "listed").items()}
    of = {name: bare(name) for name in names}
    unknown = sorted(listed.keys() - of.values())
    if unknown:
        shown = ", ".join(unknown[:SHOWN_BAD_ROWS])
        log.warning("%s: %d names are in no row of the tags file: %s", source.exclude, len(unknown), shown)
    excluded = {name: f"{source.exclude.name}: {listed[b]}" for name, b in of.items() if b in listed}
    if len(excluded) == len(of):
        raise ValueError(f"{source.exclude}: lists every row of the tags file; nothing is left to read")
    log.info("%d rows left out by %s", len(excluded), source.exclude)
    return excluded


def prefer_tif(source: Source, spec: InputSpec, paths: dict[str, ChipSource]) -> dict[str, ChipSource]:
    """Replace chips by their TIFFs where the audit says that these show the same ground.

    Raises:
        ValueError: one of folder and audit is not given, a TIFF that was audited is not there,
            or the run does not take RGB uint8, to which alone both kinds of file can be brought.
    """
    if not (source.tif or source.audit):
        return paths
    if not (source.tif and source.audit):
        raise ValueError("--tif and --audit belong together: the TIFFs' folder, and the audit.csv of it")
    if (spec.bands, spec.dtype) != (RGB, "uint8"):
        raise ValueError("--tif mixes TIFFs with other chips, which only runs on RGB uint8 can")
    verdicts = {Path(bare(name)).name: verdict for name, verdict in _column(source.audit, "verdict").items()}
    tifs = {file.stem: file for file in chip_files(source.tif, TIF_SUFFIXES)}
    of = {name: Path(bare(name)).name for name in paths}
    same = {name for name in paths if verdicts.get(of[name]) == "same ground"}
    lacking = sorted(name for name in same if of[name] not in tifs)
    if lacking:
        raise ValueError(
            f"{source.tif}: lacks {len(lacking)} TIFFs that {source.audit} found, the first being "
            f"{lacking[0]}; give the folder that was audited"
        )
    log.info("%d of %d chips are read from their TIFF", len(same), len(paths))
    return {name: tifs[of[name]] if name in same else path for name, path in paths.items()}


def _decode(chip: ChipSource, spec: InputSpec) -> tuple[bytes, npt.NDArray[Pixel] | str]:
    """Return the sha256 over a chip's files and its pixels, or the reason why there are none."""
    try:
        if isinstance(chip, BandFiles):
            files = chip.read(spec)
            return hashlib.sha256(b"".join(files.values())).digest(), decode_band_files(files, spec).chip_HWC
        data = chip.read_bytes()
        return hashlib.sha256(data).digest(), decode_chip(data, spec)
    except (ChipError, OSError) as error:
        return b"", f"{path_of(chip)}: {error}"


def _report(source: Source, bad: dict[str, str], excluded: dict[str, str], folder: Path) -> None:
    if bad:
        message = f"{len(bad)} rows have no usable chip, the first being\n{_first(bad)}"
        if not source.skip_bad:
            raise ValueError(f"{message}\nrepair them, or leave them out with --skip-bad")
        log.warning("%s\nleft out", message)
    left_out = excluded | bad
    if left_out:
        write_csv(folder / "excluded.csv", ("image_name", "reason"), left_out.items())


def _first(rows: dict[str, str]) -> str:
    return "\n".join(f"  {name}: {why}" for name, why in list(rows.items())[:SHOWN_BAD_ROWS])


def _column(path: Path, column: str, default: str | None = None) -> dict[str, str]:
    """Read one column of a CSV by image_name.

    Raises:
        ValueError: a column without default is missing.
    """
    table = read_delimited(path)
    wanted = ["image_name", *([column] if default is None else [])]
    if not set(wanted) <= set(table.columns):
        there = ",".join(table.columns) or "nothing"
        raise ValueError(f"{path}: its first line is {there!r:.80}; it must have {','.join(wanted)}")
    rows = [dict(zip(table.columns, row.cells, strict=False)) for row in table.rows]
    return {row["image_name"].strip(): row.get(column) or default or "" for row in rows}
