"""A data set as one page, before any training: labels, sizes, values, copies, odd rows, chips.

Reads headers and small samples of the files, and judges nothing: `prepare` does. No PyTorch.

Shape suffixes: N chips, L labels, H height, W width, C bands.
"""

import logging
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import imagecodecs
import numpy as np
import numpy.typing as npt
import tifffile
from markupsafe import Markup
from PIL import Image

from service.contract.chips.band_files import BandFiles, ChipSource
from service.contract.files import atomic_write
from service.contract.manifest import InputSpec
from training.data.copies import find_copies
from training.data.labels import Tags
from training.data.names import TIF_SUFFIXES, find_chips
from training.data.pictures import data_uri
from training.data.reading import read_labels
from training.report import figures
from training.report.diagnostics import cooccurrence
from training.report.report import STYLE, environment
from training.run.folder import Source
from training.run.progress import in_threads, track

log = logging.getLogger(__name__)

TEMPLATE = Path(__file__).with_name("look.html.jinja")
SAMPLE_PX = 128
PER_LABEL, SHOWN, BINS = 20, 200, 64
SEED = 0
COLOURS = {"B2": "blue", "B3": "green", "B4": "red"}  # of Sentinel-2 and Landsat 8 and 9 alike


class _Chip(NamedTuple):
    """What is kept of a chip; no sample where it cannot be read here."""

    kind: str  # size, bands and number type in words
    sample_HWC: npt.NDArray[Any] | None
    bands: tuple[str, ...] = ()  # where the files' names tell them


def look(source: Source, out: Path, spec: InputSpec | None = None) -> Path:
    """Write the page and return its path.

    Args:
        source: the data.
        out: the page.
        spec: what the chips are, if it is known; tells bands by the names of their files.

    Raises:
        ValueError: there are no tags, or no chips of them.
    """
    tags = read_labels(source)
    paths, missing = find_chips(source, tags.names, spec)
    chips = dict(zip(paths, in_threads(_read, list(paths.values()), "look at chips"), strict=True))
    copies = _copies(chips)
    context = {
        "style": Markup(STYLE.read_text(encoding="utf-8")),
        "title": source.data.resolve().name,
        "chips": len(chips),
        "labels": list(zip(tags.labels, tags.targets_NL.sum(axis=0).tolist(), strict=True)),
        "rows": len(tags.names),
        "per_row": dict(sorted(Counter(tags.targets_NL.sum(axis=1).tolist()).items())),
        "pairs": cooccurrence(tags.targets_NL).tolist(),
        "kinds": Counter(chip.kind for chip in chips.values()).most_common(),
        "histograms": _histograms(chips),
        "copies": copies[:SHOWN],
        "copies_found": len(copies),
        "odd": _odd(tags, chips, missing, copies),
        "shown": SHOWN,
        "per_label": PER_LABEL,
        "sheets": list(_sheets(tags, chips)),
    }
    with atomic_write(out) as partial:
        template = environment().from_string(TEMPLATE.read_text(encoding="utf-8"))
        partial.write_text(template.render(context), encoding="utf-8")
    log.info("%s: %d chips, %d labels, %.1f MB", out, len(chips), len(tags.labels), out.stat().st_size / 1e6)
    return out


def _read(chip: ChipSource) -> _Chip:
    try:
        if isinstance(chip, BandFiles):
            return _read_bands(chip)
        pixels_HWC = _pixels(chip)
    except Exception as error:  # a library's own error for a file that is broken in some way
        return _Chip(f"cannot be read ({error})"[:120], None)
    height, width, bands = pixels_HWC.shape
    plural = "s" if bands > 1 else ""
    return _Chip(f"{width}×{height} px, {bands} band{plural}, {pixels_HWC.dtype}", _sample(pixels_HWC))


def _read_bands(chip: BandFiles) -> _Chip:
    files = {band: found[0] for band, found in chip.files.items()}
    pixels = {band: _pixels(file) for band, file in files.items()}
    sizes = sorted({each.shape[1::-1] for each in pixels.values()}, reverse=True)
    said = ", ".join(f"{width}×{height}" for width, height in sizes)
    dtypes = " and ".join(sorted({str(each.dtype) for each in pixels.values()}))
    kind = f"{len(files)} files a chip: {said} px, {dtypes}"
    if {each.shape[2] for each in pixels.values()} != {1}:
        return _Chip(f"{kind}, some of several bands", None)
    sample_HWC = np.concatenate([_sample(each) for each in pixels.values()], axis=2)
    return _Chip(kind, sample_HWC, tuple(files))


def _sample(pixels_HWC: npt.NDArray[Any]) -> npt.NDArray[Any]:
    height, width, _ = pixels_HWC.shape
    rows, columns = (np.linspace(0, side - 1, SAMPLE_PX).astype(int) for side in (height, width))
    return np.asarray(pixels_HWC[np.ix_(rows, columns)])


def _pixels(path: Path) -> npt.NDArray[Any]:
    """Return a file's pixels (H,W,C) as they are in it."""
    if path.suffix.lower() in TIF_SUFFIXES:
        with tifffile.TiffFile(path) as file:
            pixels = np.asarray(file.pages.first.asarray())
        if pixels.ndim == 3 and pixels.shape[0] < min(pixels.shape[1:]):
            pixels = np.moveaxis(pixels, 0, -1)  # bands one after the other
    elif path.suffix.lower() == ".jp2":  # of which Pillow would change values of 12 or 15 bits
        pixels = imagecodecs.jpeg2k_decode(path.read_bytes())
    else:
        with Image.open(path) as image:
            # Planet's JPEGs have four components and no marker.
            pixels = np.asarray(image.convert("RGB" if image.mode in ("CMYK", "P", "RGBA") else image.mode))
    return np.atleast_3d(pixels)


def _samples(chips: dict[str, _Chip]) -> dict[tuple[tuple[str, ...], str], dict[str, npt.NDArray[Any]]]:
    """Return the samples by bands and number type."""
    found: dict[tuple[tuple[str, ...], str], dict[str, npt.NDArray[Any]]] = {}
    for name, chip in chips.items():
        if chip.sample_HWC is not None:
            bands = chip.bands or tuple(f"band {band + 1}" for band in range(chip.sample_HWC.shape[-1]))
            key = bands, str(chip.sample_HWC.dtype)
            found.setdefault(key, {})[name] = chip.sample_HWC
    return found


def _copies(chips: dict[str, _Chip]) -> list[tuple[str, str, str]]:
    """Return pairs of names with what they share."""
    pairs = []
    for samples in _samples(chips).values():
        names, found = list(samples), find_copies(np.stack(list(samples.values())))
        for what, pairs_P2 in (("same pixels", found.same_P2), ("nearly the same", found.alike_P2)):
            pairs += [(names[one], names[other], what) for one, other in pairs_P2]
    return pairs


def _histograms(chips: dict[str, _Chip]) -> list[tuple[str, Markup]]:
    drawn = []
    for (bands, dtype), samples in _samples(chips).items():
        step = max(1, len(samples) // 500)
        values_XC = np.stack(list(samples.values())[::step]).reshape(-1, len(bands))
        panels = {}
        for band, values_X in zip(bands, values_XC.T, strict=True):
            finite_X = values_X[np.isfinite(values_X)]
            low, high = np.quantile(finite_X, (0, 0.999)) if len(finite_X) else (0, 1)
            counts_K, edges_K = np.histogram(finite_X, BINS, (low, max(high, low + 1)))
            panels[band] = (edges_K[:-1], counts_K / max(len(finite_X), 1))
        title = f"{len(samples):,} chips of {len(bands)} bands, {dtype}"
        drawn.append((title, figures.histograms(panels, f"Histograms of values: {title}.")))
    return drawn


def _odd(
    tags: Tags, chips: dict[str, _Chip], missing: dict[str, str], copies: list[tuple[str, str, str]]
) -> list[tuple[str, list[str]]]:
    """Return suspicious rows by what is odd about them; kinds without any left out."""
    rows = {name: frozenset(row) for name, row in zip(tags.names, tags.rows(), strict=True)}
    counts = Counter(label for row in rows.values() for label in row)
    sizes = Counter(chip.kind for chip in chips.values())
    usual = sizes.most_common(1)[0][0]
    flat = {name: _flatness(chip) for name, chip in chips.items()}
    odd = {
        "no file": list(missing),
        "cannot be read": [name for name, chip in chips.items() if chip.sample_HWC is None],
        "no label": [name for name, row in rows.items() if not row],
        "a label that no other chip has": [
            name for name, row in rows.items() if any(counts[x] == 1 for x in row)
        ],
        "one value everywhere": [name for name, found in flat.items() if found == "flat"],
        "mostly black or white": [name for name, found in flat.items() if found == "mostly"],
        f"another size, bands or type than {usual}": [n for n, chip in chips.items() if chip.kind != usual],
        "copies with different labels": [f"{a} and {b}" for a, b, _ in copies if rows[a] != rows[b]],
    }
    return [(what, names) for what, names in odd.items() if names]


def _flatness(chip: _Chip) -> str:
    if chip.sample_HWC is None:
        return ""
    low, high = chip.sample_HWC.min(), chip.sample_HWC.max()
    if low == high:
        return "flat"
    top = np.iinfo(chip.sample_HWC.dtype).max if chip.sample_HWC.dtype.kind in "iu" else np.inf
    extreme_HW = (chip.sample_HWC == 0).all(axis=-1) | (chip.sample_HWC == top).all(axis=-1)
    return "mostly" if extreme_HW.mean() > 0.5 else ""


def _sheets(tags: Tags, chips: dict[str, _Chip]) -> Any:  # noqa: ANN401 — label, count, chips
    random = np.random.default_rng(SEED)
    columns = zip(tags.labels, tags.targets_NL.T, strict=True)
    for label, targets_N in track(columns, "draw chips", len(tags.labels)):
        drawn = random.permutation(np.flatnonzero(targets_N))
        names = [tags.names[row] for row in drawn]
        shown = [name for name in names if name in chips and chips[name].sample_HWC is not None][:PER_LABEL]
        yield label, len(drawn), [(name, _picture(chips[name])) for name in shown]


def _picture(chip: _Chip) -> str:
    assert chip.sample_HWC is not None
    bands = chip.sample_HWC.shape[-1]
    rgb = ("red", "green", "blue") if bands == 3 else ("blue", "green", "red")  # the usual order of more
    names = [*rgb, *map(str, range(3, bands))] if bands >= 3 else ["grey"] * bands
    if chip.bands:
        names = [COLOURS.get(band, band) for band in chip.bands]
    return data_uri(np.nan_to_num(chip.sample_HWC), names)
