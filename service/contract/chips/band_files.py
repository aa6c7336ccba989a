"""Chips that are made of one file per band: which files are one chip, and their bytes → the chip.

Names alone tell which file is which band of which chip, so that fifty thousand chips cost no more
than a listing: what is left of a name without the band is the chip's. Opens no file to find out.

Shape suffixes: H height, W width, C bands.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from service.contract.chips.bands import check_size, takes_pictures
from service.contract.chips.decode import Decoded, enough_memory, read_pixels, resized
from service.contract.chips.scale import scale_warnings
from service.contract.chips.values import check_values
from service.contract.errors import ChipError, WrongBands
from service.contract.manifest import InputSpec, Pixel
from service.contract.sensors import SENSORS, common_name, only_infrared

SUFFIXES = (".tif", ".tiff", ".jp2")
_WORD = re.compile(r"[A-Za-z0-9]+")
_CODE = re.compile(r"B0*(\d{1,2}A?)", re.IGNORECASE)
_RESOLUTION = re.compile(r"R?(\d{1,3})m", re.IGNORECASE)  # in metres, as Sentinel-2's products write it
_NO_BANDS = {"mask", "masks", "msk", "qa"}  # what is said of a band is none: MSK_QUALIT_B02
_FEW = 3  # bands; four in a folder are its chip, whatever else of their product lies there
_MOST_WORDS = 3  # of a band's name: red_edge_1


@dataclass(frozen=True)
class BandFiles:
    """One chip of several files."""

    path: Path  # their folder, or what their names have in common in it: what the chip is called
    files: Mapping[str, tuple[Path, ...]]  # by band; two files of one band are nobody's to choose from

    def read(self, spec: InputSpec) -> dict[str, bytes]:
        """Return the bytes of each band that a bundle needs.

        Raises:
            WrongBands: a band has no file, or several.
            OSError: a file cannot be read.
        """
        lacking = [band for band in spec.bands if band not in self.files]
        if lacking:
            raise WrongBands(
                f"there are files of {_told(self.files, spec)}, and none of {_told(lacking, spec)}; needed "
                f"is one of each of {_told(spec.bands, spec)}"
            )
        for band in spec.bands:
            if len(self.files[band]) > 1:
                names = " and ".join(file.name for file in self.files[band])
                raise WrongBands(f"{names} are both {_told([band], spec)} by their names; keep one of them")
        return {band: self.files[band][0].read_bytes() for band in spec.bands}


class Grouped(NamedTuple):
    """Files sorted by what they are a part of."""

    chips: list[BandFiles]
    alone: list[Path]  # each perhaps a chip of its own
    beside: list[Path]  # named like a chip's bands or in its folder, and no band: masks, thumbnails


ChipSource = Path | BandFiles  # a chip's only file, or all of them


def path_of(chip: ChipSource) -> Path:
    """Return what a chip is called by."""
    return chip.path if isinstance(chip, BandFiles) else chip


def first_file(chip: ChipSource) -> Path:
    """Return a chip's only file, or that of its first band."""
    return next(iter(chip.files.values()))[0] if isinstance(chip, BandFiles) else chip


def group_bands(files: Iterable[Path], spec: InputSpec | None, root: Path | None = None) -> Grouped:
    """Put together what is one chip by its names: two files at least of different bands.

    Args:
        files: images.
        spec: whose bands; none for a bundle that takes pictures. None: the codes of Sentinel-2 and
            Landsat, by which the bands are then called (`B2`), and words for colours.
        root: the chips' folder. Another that holds the bands of one chip gives it its name.
    """
    files = list(files)
    if spec and takes_pictures(spec):
        return Grouped([], files, [])
    found: dict[tuple[Path, str], list[_Named]] = defaultdict(list)
    for file in files:
        if file.suffix.lower() in SUFFIXES and (named := _named(file, spec)):
            found[named.folder, named.rest].append(named)
    chips = {key: bands for key, each in found.items() if len(bands := _bands(each, spec)) > 1}
    taken = {file for bands in chips.values() for each in bands.values() for file in each}
    left = [file for file in files if file not in taken]
    others = Counter(_folder(file) for file in left)
    rests: dict[Path, set[str]] = defaultdict(set)
    for folder, rest in chips:
        rests[folder].add(rest)
    whole = {
        folder
        for (folder, _), bands in chips.items()
        if folder != root and len(rests[folder]) == 1 and len(bands) > min(others[folder], _FEW)
    }
    named_chips = [
        BandFiles(folder if folder in whole else folder / rest, bands)
        for (folder, rest), bands in chips.items()
    ]
    beside = {file for file in left if _folder(file) in whole or _begins(file.stem, rests[_folder(file)])}
    return Grouped(named_chips, [file for file in left if file not in beside], sorted(beside))


def decode_band_files(files: Mapping[str, bytes], spec: InputSpec) -> Decoded:
    """Decode and validate a chip of one file per band, each of its own size.

    Args:
        files: a whole TIFF or JPEG 2000 file of one band each, by the band's name.
        spec: as of `decode_chip`; each band is brought to its nominal size.

    Returns:
        What `decode` does; the band with the most pixels tells how far the chip is from others.

    Raises:
        ChipError, OutOfMemory: as `decode_chip`; says of which band.
    """
    with enough_memory():
        bands = [_decoded(files[band], band, spec) for band in spec.bands]
        sizes = {band: pixels_HW1.shape[1::-1] for band, pixels_HW1 in zip(spec.bands, bands, strict=True)}
        largest = max(sizes, key=lambda band: sizes[band])
        check_size(*sizes[largest])
        for band in spec.bands:
            if not _fits(sizes[band], sizes[largest]):
                one, other = ("×".join(map(str, sizes[each])) for each in (band, largest))
                raise WrongBands(
                    f"{band} is {one} px and {largest} {other} px, which cannot be the same ground; cut all "
                    "bands of a chip alike"
                )
        chip_HWC = np.concatenate([resized(pixels_HW1, spec) for pixels_HW1 in bands], axis=2)
        check_values(chip_HWC, spec.bands, spec)
        warnings = scale_warnings(files[largest], sizes[largest], spec)
        return Decoded(np.ascontiguousarray(chip_HWC), warnings)


class _Named(NamedTuple):
    """What a file's name says."""

    file: Path
    folder: Path
    rest: str
    band: str
    coded: bool
    resolution_m: int | None


def _named(file: Path, spec: InputSpec | None) -> _Named | None:
    """Look for the last words of a name that are a band's."""
    stem = file.stem
    words = list(_WORD.finditer(stem))
    if any(word[0].lower() in _NO_BANDS for word in words):
        return None
    known = _known(spec.sensor, spec.order) if spec else None
    resolution_m = _metres(file.parent.name)
    if len(words) > 1 and (metres := _metres(words[-1][0])):
        resolution_m = metres
        words.pop()
    for last in range(len(words) - 1, -1, -1):
        coded = bool(_CODE.fullmatch(words[last][0]))
        for first in [last] if coded else range(max(0, last + 1 - _MOST_WORDS), last + 1):
            before, said = stem[: words[first].start()], stem[words[first].start() : words[last].end()]
            if band := _band(said, known):
                rest = before.rstrip("._- ") + "".join(f"_{word[0]}" for word in words[last + 1 :])
                return _Named(file, _folder(file), rest.lstrip("_"), band, coded, resolution_m)
    return None


def _folder(file: Path) -> Path:
    """Return the folder of the chip, whose bands may lie in folders by resolution."""
    return file.parent.parent if _metres(file.parent.name) else file.parent


def _metres(word: str) -> int | None:
    found = _RESOLUTION.fullmatch(word)
    return int(found[1]) if found else None


@cache
def _known(sensor: str | None, order: tuple[str, ...]) -> Mapping[str, str]:
    """Return the bands by all names that a spec's files may give them."""
    bands = (*SENSORS[sensor].bands, *order) if sensor else order
    known = {band: band for band in bands}
    if infrared := only_infrared(bands):
        known["nir"] = infrared
    if sensor:
        known |= dict(zip(SENSORS[sensor].codes, SENSORS[sensor].bands, strict=False))
    return known


def _band(text: str, known: Mapping[str, str] | None) -> str | None:
    """Return the band that a name's part stands for, None if it is none of these."""
    code = _CODE.fullmatch(text)
    if code:
        said = f"B{code[1].upper()}"
        if known is None:
            return said if said in SENSORS["sentinel-2-l1c"].codes else None
        return known.get(said)
    word = common_name(text) or text.lower()
    return known.get(word) if known is not None else common_name(text)


def _bands(named: Iterable[_Named], spec: InputSpec | None) -> dict[str, tuple[Path, ...]]:
    """Return a chip's files by band, in the sensor's order.

    A product's files are all called by codes or all by words; what few are called otherwise, such
    as `aerosol` beside `B02`, are products of another kind. Of one band's files at several
    resolutions the finest counts.
    """
    kinds: dict[bool, dict[str, list[_Named]]] = {True: defaultdict(list), False: defaultdict(list)}
    for each in named:
        kinds[each.coded][each.band].append(each)
    bands = max(kinds.values(), key=len)
    order = [*_known(spec.sensor, spec.order).values()] if spec else [*SENSORS["sentinel-2-l1c"].codes]
    return {band: tuple(_finest(bands[band])) for band in sorted(bands, key=lambda band: _place(band, order))}


def _place(band: str, order: list[str]) -> int:
    return order.index(band) if band in order else len(order)


def _finest(named: list[_Named]) -> Iterator[Path]:
    finest = min((each.resolution_m or 0 for each in named), default=0)
    return (each.file for each in named if not finest or each.resolution_m == finest)


def _begins(stem: str, rests: set[str]) -> bool:
    """Tell whether a file's name begins like a chip's, at the end of a word."""
    return bool(rests) and any(stem[: word.end()] in rests for word in _WORD.finditer(stem))


def _decoded(data: bytes, band: str, spec: InputSpec) -> npt.NDArray[Pixel]:
    """Return one band at its own size (H,W,1)."""
    try:
        alone = spec.model_copy(update={"bands": (band,), "file_bands": (band,), "limits": ()})
        return read_pixels(data, alone)
    except ChipError as error:
        raise type(error)(f"the file of {_told([band], spec)}: {error}") from error


def _fits(size: tuple[int, ...], largest: tuple[int, ...]) -> bool:
    """Tell whether two sizes in pixels can be of one ground: by a pixel, they have one ratio."""
    (width, height), (most_wide, most_high) = size, largest
    return abs(width * most_high - height * most_wide) <= max(most_wide, most_high)


def _told(bands: Iterable[str], spec: InputSpec) -> str:
    """Write bands for people, with their sensor's codes."""
    sensor = SENSORS.get(spec.sensor or "")
    codes = dict(zip(sensor.bands, sensor.codes, strict=False)) if sensor else {}
    return ", ".join(f"{band} ({codes[band]})" if band in codes else band for band in bands)
