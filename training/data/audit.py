"""Does each TIFF show the ground of the JPEG of its name? A table, a list, and a sheet to look at.

    <out>/
      audit.csv            every name with its verdict and the evidence (`COLUMNS`)
      exclude.csv          for `--exclude`: names whose TIFF shows other ground, with the reason
      contact_sheet.png    the worst pairs side by side

Shape suffixes: H height, W width, C bands.
"""

import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from service.contract.chips.bands import RGB
from service.contract.chips.decode import decode_chip
from service.contract.chips.tone import stretched
from service.contract.errors import ChipError, WrongBands
from service.contract.manifest import InputSpec
from training.data.alignment import Alignment, Verdict, align
from training.data.names import chip_files
from training.data.pictures import write_sheet
from training.run.files import write_csv
from training.run.progress import in_threads

log = logging.getLogger(__name__)

SIDE_PX = 256  # Planet's own; other chips are brought to it, and shifts are in its pixels
TIF, JPG = (".tif", ".tiff"), (".jpg", ".jpeg")
EVIDENCE = ("down_px", "right_px", "peak", *(f"similarity_{band}" for band in RGB), "texture")
COLUMNS = ("image_name", "verdict", *EVIDENCE, "note")
WORST_FIRST = ("different ground", "shifted", "cannot tell", "same ground")
SHEET_ROWS = 24
SHEET_COLUMNS = ("TIFF", "JPEG", "difference", "difference, JPEG moved")


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """A name and what became of it."""

    name: str
    verdict: Verdict | Literal["no partner", "unreadable"]
    alignment: Alignment | None = None
    note: str = ""

    @property
    def reason(self) -> str | None:
        """Why the TIFF's labels are in doubt; None when they are not."""
        if self.verdict == "shifted" and self.alignment:
            moved = f"{self.alignment.right_px:+g} px right, {self.alignment.down_px:+g} px down"
            return f"shifted: the JPEG lies on the TIFF when moved {moved}"
        return (
            f"{self.verdict} {self.note}".strip()
            if self.verdict in ("different ground", "unreadable")
            else None
        )


def audit(tif: Path, jpg: Path, out: Path) -> list[Pair]:
    """Compare every TIFF of a folder with the JPEG of its name, and write `out`.

    A file without partner or that cannot be read is listed and stops nothing.

    Raises:
        ValueError: no name is in both folders.
    """
    tifs, jpgs = _files(tif, TIF), _files(jpg, JPG)
    if not tifs.keys() & jpgs.keys():
        raise ValueError(f"no TIFF in {tif} has the name of a JPEG in {jpg}; check --tif and --jpg")
    names = sorted(tifs.keys() | jpgs.keys())
    jobs = [(name, tifs.get(name), jpgs.get(name)) for name in names]
    pairs = list(in_threads(_judge, jobs, "compare pairs"))
    write_csv(out / "audit.csv", COLUMNS, map(_row, pairs))
    reasons = [(pair.name, pair.reason) for pair in pairs if pair.reason]
    write_csv(out / "exclude.csv", ("image_name", "reason"), reasons)
    judged = [pair for pair in pairs if pair.alignment]
    judged.sort(
        key=lambda pair: (WORST_FIRST.index(pair.verdict), pair.alignment.peak if pair.alignment else 0)
    )
    rows = [(_caption(pair), _panels(tifs[pair.name], jpgs[pair.name], pair)) for pair in judged[:SHEET_ROWS]]
    write_sheet(out / "contact_sheet.png", SHEET_COLUMNS, rows)
    counts = Counter(pair.verdict for pair in pairs)
    log.info("%s", ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common()))
    return pairs


def _files(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    return {file.stem: file for file in chip_files(folder, suffixes)}


def _judge(job: tuple[str, Path | None, Path | None]) -> Pair:
    name, tif, jpg = job
    if not (tif and jpg):
        return Pair(name=name, verdict="no partner", note=f"no {'JPEG' if tif else 'TIFF'}")
    try:
        alignment = align(_visible(tif), _visible(jpg))
    except (ChipError, OSError) as error:
        return Pair(name=name, verdict="unreadable", note=str(error))
    return Pair(name=name, verdict=alignment.verdict, alignment=alignment)


def _visible(file: Path) -> npt.NDArray[Any]:
    """Read red, green, blue as they were recorded: toning would cost dark chips their structure."""
    data = file.read_bytes()
    try:
        return decode_chip(data, InputSpec(bands=RGB, dtype="uint16", height=SIDE_PX, width=SIDE_PX))
    except WrongBands:
        return decode_chip(data, InputSpec(bands=RGB, height=SIDE_PX, width=SIDE_PX))


def _row(pair: Pair) -> tuple[str, ...]:
    found = pair.alignment
    numbers = (found.down_px, found.right_px, found.peak, *found.similarity_C, found.texture) if found else ()
    evidence = [f"{number:.3f}" for number in numbers] or [""] * len(EVIDENCE)
    return pair.name, pair.verdict, *evidence, pair.note


def _caption(pair: Pair) -> str:
    assert pair.alignment
    found = pair.alignment
    return (
        f"{pair.name}: {pair.verdict}; right {found.right_px:+.2f} px, down {found.down_px:+.2f} px, "
        f"peak {found.peak:.0f}, similarity {np.mean(found.similarity_C):.2f}, texture {found.texture:.2f}"
    )


def _panels(tif: Path, jpg: Path, pair: Pair) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield the pictures of a sheet's row, read only when their turn comes."""
    assert pair.alignment
    shown = [stretched(_visible(file)) for file in (tif, jpg)]
    yield from shown
    first_HW, second_HW = (picture_HWC.mean(axis=2) for picture_HWC in shown)
    for shift_px in ((0.0, 0.0), (pair.alignment.down_px, pair.alignment.right_px)):
        moved_HW = ndimage.shift(second_HW, shift_px, order=1)
        shared_HW = ndimage.shift(np.ones_like(second_HW), shift_px, order=1)
        yield (128 + shared_HW * (first_HW - moved_HW) / 2).astype(np.uint8)
