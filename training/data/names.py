"""The names in a table → the files of the chips: exactly, or in the one other way that fits.

Knows names and folders only, no pixels.
"""

import logging
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

from service.contract.chips.band_files import BandFiles, ChipSource, group_bands
from service.contract.manifest import InputSpec
from training.run.folder import Source

log = logging.getLogger(__name__)

CHIP_FOLDERS = ("chips", "train-jpg", "jpg", "images", ".")
TIF_SUFFIXES = (".tif", ".tiff")
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".jp2", *TIF_SUFFIXES)
COMPARED = 2000  # files among which the nearest name is looked for
SHOWN_KINDS = 5


def bare(name: str) -> str:
    """Drop the extension that a name may carry, and keep its folders."""
    suffix = Path(name).suffix
    return name.removesuffix(suffix) if suffix.lower() in SUFFIXES else name


def chip_files(folder: Path, suffixes: Sequence[str] = SUFFIXES) -> list[Path]:
    """Return the folder's images, sorted; no hidden ones, which macOS writes beside each file."""
    return [file for file in sorted(folder.glob("[!.]*")) if file.suffix.lower() in suffixes]


def all_chip_files(folder: Path) -> list[Path]:
    """Return the images in and below a folder, sorted; nothing hidden."""
    found = [file for file in folder.rglob("[!.]*") if file.suffix.lower() in SUFFIXES]
    return sorted(
        file
        for file in found
        if not any(part.startswith((".", "__MACOSX")) for part in file.relative_to(folder).parts)
    )


def find_chips(
    source: Source, names: Iterable[str], spec: InputSpec | None = None
) -> tuple[dict[str, ChipSource], dict[str, str]]:
    """Return each name's file or files, and the reason for each name without any.

    The chips may lie in subfolders. A name may have its folders before it, or another folder's;
    where no file has the name, one that differs by extension, case or zeros is taken and named.
    Files of one band each are one chip, called like their folder or what their names share.

    Args:
        source: where the chips lie.
        names: of the chips.
        spec: what they will be decoded to, which tells names of bands; see `group_bands`.

    Raises:
        ValueError: no name has a file, or a name and a file are not one to one.
    """
    wanted = list(names)
    folders = [source.chips] if source.chips else [source.data / name for name in CHIP_FOLDERS]
    if source.tags and source.tags.is_dir() and not source.chips:
        folders.insert(0, source.tags)
    listed: list[tuple[Path, list[Path]]] = []
    for folder in folders:
        files = all_chip_files(folder)
        grouped = group_bands(files, spec, folder)
        of = {chip.path: chip for chip in grouped.chips}
        paths = _matched(folder, list(of), wanted)
        alone = _matched(folder, files, [name for name in wanted if name not in paths])
        paths = {name: (paths | alone)[name] for name in wanted if name in paths or name in alone}
        if paths:
            _refuse_shared(paths)
            _tell_unnamed(folder, [*of, *grouped.alone], paths)
            found: dict[str, ChipSource] = {name: of.get(path, path) for name, path in paths.items()}
            _tell_bands(folder, list(found.values()), grouped.beside)
            missing = [name for name in wanted if name not in paths]
            return found, dict(zip(missing, _reasons(folder, files, missing), strict=True))
        listed.append((folder, files))
    tried = ", ".join(str(folder) for folder in folders)
    files = next((files for _, files in listed if files), [])
    beside = _beside(wanted[0], files) if files and wanted else "which hold no images"
    if spec and not group_bands(files, spec).chips and group_bands(files, None).chips:
        beside += "; if each chip is a file for each band, name whose they are with --sensor"
    raise ValueError(
        f"no chip of the tags file is in {tried}: {beside}; make the names alike, or name the chips' folder "
        "with --chips"
    )


class _Way(NamedTuple):
    """One way to compare names; `differs` says in which they differ, None if they do not."""

    key: Callable[[str], str]  # of one part of a path
    differs: str | None
    whole: bool = False  # whether the file's extension belongs to its name


def _folded(part: str) -> str:
    return unicodedata.normalize("NFC", part).casefold()


def _unpadded(part: str) -> str:
    """Drop what a spreadsheet does to numbers: 0012 → 12, 12 → 12.0."""
    number = part.removesuffix(".0")
    return number.lstrip("0") or "0" if number.isdigit() else _folded(part)


WAYS = (
    _Way(str, None, whole=True),
    _Way(str, None),
    _Way(bare, "extension"),
    _Way(lambda part: _folded(bare(part)), "upper and lower case"),
    _Way(lambda part: _unpadded(bare(part)), "leading zeros"),
)


def _matched(folder: Path, files: Sequence[Path], names: Sequence[str]) -> dict[str, Path]:
    """Match names with files, each in the first way that finds one.

    Raises:
        ValueError: several files fit a name equally well.
    """
    found: dict[str, Path] = {}
    for way in WAYS:
        left = [name for name in names if name not in found]
        if not left or not files:
            break
        index: dict[str, list[Path]] = defaultdict(list)
        taken = set(found.values()) if way.differs else ()
        for file in (file for file in files if file not in taken):
            index[way.key(file.name if way.whole else file.stem)].append(file)
        fits = {name: _file_of(name, folder, index, way) for name in left}
        new = {name: file for name, file in fits.items() if file}
        if new and way.differs:
            name, path = next(iter(new.items()))
            log.warning(
                "%d names differ from their files in %s, such as %r for %r: taken as meant",
                *(len(new), way.differs, name, path.relative_to(folder).as_posix()),
            )
        found |= new
    return {name: found[name] for name in names if name in found}


def _file_of(name: str, folder: Path, index: dict[str, list[Path]], way: _Way) -> Path | None:
    *above, last = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")] or [name]
    files = index.get(way.key(last), [])
    wanted = [way.key(part) for part in above]
    fits = {file: _shared_folders(wanted, file, folder, way) for file in files}
    best = max(filter(None, fits.values()), default=0)
    chosen = [file for file, fit in fits.items() if fit == best > 0]
    at_top = [file for file in chosen if file.parent == folder]
    chosen = at_top or chosen
    if len(chosen) > 1:
        shown = " or ".join(file.relative_to(folder).as_posix() for file in chosen[:3])
        raise ValueError(
            f"{folder}: {name} may be {shown}; remove one, or write its folder and extension in the table"
        )
    return chosen[0] if chosen else None


def _shared_folders(wanted: list[str], file: Path, folder: Path, way: _Way) -> int | None:
    """Count the parts that a name and a file share from the end; None if they contradict.

    They do not where the name is the end of the file's path, or the file's path below the chips'
    folder is the end of the name.
    """
    if not wanted:
        return 1
    whole = [way.key(part) for part in file.parent.parts]
    below = [way.key(part) for part in file.relative_to(folder).parts[:-1]]
    if whole[-len(wanted) :] == wanted:
        return 1 + len(wanted)
    return 1 + len(below) if below == wanted[len(wanted) - len(below) :] else None


def _refuse_shared(paths: dict[str, Path]) -> None:
    """Refuse rows of one chip: which of them is meant, nobody knows."""
    rows_of: dict[Path, list[str]] = defaultdict(list)
    for name, file in paths.items():
        rows_of[file].append(name)
    for file, names in rows_of.items():
        if len(names) > 1:
            raise ValueError(f"{' and '.join(names)} are rows of one chip, {file}; keep one row")


def _tell_unnamed(folder: Path, files: Sequence[Path], paths: dict[str, Path]) -> None:
    unnamed = sorted(set(files) - set(paths.values()))
    if unnamed:
        log.info(
            "%s: %d images have no row, such as %s", folder, len(unnamed), unnamed[0].relative_to(folder)
        )


def _tell_bands(folder: Path, chips: Sequence[ChipSource], beside: Sequence[Path]) -> None:
    """Say what was read of chips of several files, and which files beside theirs are no bands."""
    kinds = Counter(tuple(chip.files) for chip in chips if isinstance(chip, BandFiles))
    for bands, count in kinds.most_common(SHOWN_KINDS):
        log.info("%s: %d chips of %d files each (%s)", folder, count, len(bands), ", ".join(bands))
    if kinds and beside:
        names = ", ".join(file.name for file in beside[:SHOWN_KINDS]) + ", …" * (len(beside) > SHOWN_KINDS)
        log.info(
            "%s: %d files beside them are none of these bands and are left out: %s",
            folder,
            len(beside),
            names,
        )


def _reasons(folder: Path, files: Sequence[Path], missing: Sequence[str]) -> Iterator[str]:
    for index, name in enumerate(missing):
        yield f"no chip in {folder}" + (f" ({_beside(name, files)})" if index == 0 else "")


def _beside(name: str, files: Sequence[Path]) -> str:
    """Show a name and the file that is most like it, each with all its characters."""
    known = [file.name for file in files[:COMPARED]]
    nearest = get_close_matches(name, known, 1, cutoff=0.0)[0]
    return f"the table has {name!r}, the file most like it is {nearest!r}"
