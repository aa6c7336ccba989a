"""Decodes all picture files below some folders and compares what is accepted with other readers.

For what comes from anywhere: data sets, test files of other projects. Each file is decoded for
bundles that would take it: grey levels with and without grey pictures, and whatever bands and
number type the file has, with a value of nodata and without. Accepted pixels are compared bit for
bit with rasterio's (TIFF, JPEG 2000) or Pillow's (JPEG, PNG, WebP). Prints one table and each file
that is accepted and different.

    python -m benchmarks.quality.sweep FOLDER…
"""

import hashlib
import io
import re
import signal
import warnings
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import typer
from PIL import Image

from benchmarks.harness import reference
from service.contract.chips.bands import CONTEST, MAX_BANDS, RGB
from service.contract.chips.decode import decode_chip
from service.contract.chips.jpeg import SIGNATURE as JPEG
from service.contract.chips.png import SIGNATURE as PNG
from service.contract.chips.tiff_directory import SIGNATURES as TIFF
from service.contract.chips.tone import toned
from service.contract.errors import ServiceError
from service.contract.manifest import InputSpec
from service.contract.sensors import Dtype

LIMIT_S = 90  # of one file
MAX_BYTES = 150 << 20  # of one file
SUFFIXES = {
    *Image.registered_extensions(),
    ".tif",
    ".tiff",
    ".jxl",
    ".heic",
    ".btf",
    ".jpc",
    ".svs",
    ".gtiff",
}
OF_ANY_BANDS = (*TIFF, b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51")  # TIFF and JPEG 2000
EQUAL, DIFFERENT, REFUSED, ELSE = "accepted and equal", "ACCEPTED AND DIFFERENT", "refused", "ANYTHING ELSE"

Outcome = tuple[str, str]  # which of these, and why


def specs(data: bytes) -> Iterator[InputSpec]:
    """Bundles that may take a file, at its own size."""
    size, bands, dtype = _looked_at(data)
    known: dict[str, Any] = {"width": max(size[0], 1), "height": max(size[1], 1)}
    yield InputSpec(bands=RGB, **known)
    yield InputSpec(bands=RGB, grey=True, nodata=0, **known)
    if data.startswith(OF_ANY_BANDS) and bands <= MAX_BANDS and dtype in get_args(Dtype):
        names = tuple(f"b{number}" for number in range(1, bands + 1))
        known |= {"bands": names, "file_bands": names, "dtype": dtype}
        yield InputSpec(**known)
        yield InputSpec(nodata=1, **known)


def judged(path: Path) -> list[Outcome]:
    """What becomes of a file for each bundle."""
    signal.alarm(LIMIT_S)  # ends this process
    data = path.read_bytes()
    outcomes = [_judged(data, spec) for spec in specs(data)]
    signal.alarm(0)
    return outcomes


def _judged(data: bytes, spec: InputSpec) -> Outcome:
    try:
        chip_HWC = decode_chip(data, spec)
    except ServiceError as error:
        words = re.sub(r"(start with) .*|\d[\d×x.,]*", r"\1", error.detail).split()
        if 400 <= error.status < 500:
            return REFUSED, f"{type(error).__name__}: {' '.join(words[:8])}"
        return ELSE, repr(error)
    except Exception as error:
        return ELSE, repr(error)
    try:
        expected_HWC = _expected(data, spec)
    except Exception as error:
        return ELSE, f"accepted, but the other reader says {error!r}"[:200]
    if chip_HWC.shape != expected_HWC.shape:
        return DIFFERENT, f"{chip_HWC.shape} for {expected_HWC.shape}"
    if not (wrong_HWC := chip_HWC != expected_HWC).any():
        return EQUAL, ""
    most = np.abs(chip_HWC.astype(np.float64) - expected_HWC.astype(np.float64)).max()
    return DIFFERENT, f"{wrong_HWC.mean():.2%} of the values, by {most:g} at most ({chip_HWC.dtype})"


def _looked_at(data: bytes) -> tuple[tuple[int, int], int, str]:
    """Return a file's size (width, height), number of bands and number type without decoding it."""
    try:
        return reference.header(data)
    except Exception:
        try:
            with Image.open(io.BytesIO(data)) as image:
                return image.size, len(image.getbands()), "uint8"
        except Exception:
            return (256, 256), 3, "uint8"


def _expected(data: bytes, spec: InputSpec) -> npt.NDArray[Any]:
    """Return what another reader finds for a bundle (H,W,C)."""
    pixels_HWC, shown_HWC, names = _pillows(data) or reference.read(data)
    if spec.dtype == "uint8" and pixels_HWC.dtype == np.uint16:
        # The contest's chips call themselves colours and an opacity.
        named = set(RGB) <= set(names) and "alpha" not in names
        return toned(pixels_HWC, names if named else CONTEST.bands)
    if not set(spec.bands) <= set(names):
        names = spec.bands
    pixels_HWC, shown_HWC = (
        array_HWC[..., [names.index(band) % array_HWC.shape[2] for band in spec.bands]]
        for array_HWC in (pixels_HWC, shown_HWC)
    )
    if spec.nodata is None:
        return pixels_HWC
    return np.where(shown_HWC & np.isfinite(pixels_HWC), pixels_HWC, pixels_HWC.dtype.type(spec.nodata))


def _pillows(data: bytes) -> reference.Reading | None:
    """What Pillow finds in a JPEG, PNG or WebP, None where it finds none."""
    if not (data.startswith((JPEG, PNG)) or data[8:12] == b"WEBP"):
        return None
    try:
        with Image.open(io.BytesIO(data)) as image:
            pixels_HWC, opaque_HWC = (np.asarray(image.convert(mode)) for mode in ("RGB", "RGBA"))
    except (OSError, SyntaxError, ValueError):
        return None
    return reference.Reading(pixels_HWC, opaque_HWC[..., 3:] > 0, RGB)


def files(folders: list[Path]) -> Iterator[Path]:
    """Every picture file once, by its content."""
    seen = set()
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() not in SUFFIXES or not path.is_file() or path.stat().st_size > MAX_BYTES:
                continue
            if (digest := hashlib.sha256(path.read_bytes()).digest()) not in seen:
                seen.add(digest)
                yield path


def main(folders: list[Path]) -> None:
    """Compare all picture files below some folders."""
    counts: Counter[Outcome] = Counter()
    pool, number = _pool(), 0
    for path in files(folders):
        number += 1
        try:
            outcomes = pool.submit(judged, path).result()
        except BrokenProcessPool as error:
            outcomes, pool = [(ELSE, f"ended the process of the comparison ({error})")], _pool()
        for outcome, reason in outcomes:
            counts[outcome, reason if outcome == REFUSED else ""] += 1
            if outcome in (DIFFERENT, ELSE):
                print(f"{outcome}: {path}: {reason}", flush=True)
    pool.shutdown()
    print(f"\n{number:,} files, {counts.total():,} decodings")
    for (outcome, reason), count in sorted(counts.items(), key=lambda item: (item[0][0], -item[1])):
        print(f"{outcome:24}{count:8,}  {reason}")


def _pool() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn"), initializer=_quiet)


def _quiet() -> None:
    warnings.simplefilter("ignore")


if __name__ == "__main__":
    typer.run(main)
