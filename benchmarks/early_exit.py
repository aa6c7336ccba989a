"""What does stopping early save, and does it ever change a label set?

    python -m benchmarks.early_exit [BUNDLE] [--chips N] [--all]

The whole vote and the early exit take turns on the same UC Merced chips, on the CPU: one by one,
as lone requests come, and in batches of 32, as a busy service takes them. Prints chips/s, how many
members ran, and how many label sets differ: any such chip ends with exit status 1. With `--all`
every chip is compared, which takes minutes more.

Shape suffixes: B chips, H height, W width, C bands.
"""

import argparse
import sys
from collections import Counter
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from benchmarks._data import data_folder
from service.bundle import Bundle, Pixel, load
from service.chips import decode_chip
from service.ensemble import Ensemble
from training.progress import track

BATCH = 32


class Tried(NamedTuple):
    """One batch, voted on in both ways."""

    whole_s: float
    early_s: float
    members: list[int]  # that ran for each chip before it could leave
    differing: int  # chips


def tried(ensembles: tuple[Ensemble, Ensemble], chips_BHWC: npt.NDArray[Pixel], *, swap: bool) -> Tried:
    """Vote on a batch with the whole and the early ensemble, the second one first if told so."""
    found = {}
    for ensemble in ensembles[:: -1 if swap else 1]:
        began = perf_counter()
        votes = ensemble.vote(chips_BHWC)
        found[ensemble] = perf_counter() - began, votes
    (whole_s, whole), (early_s, early) = (found[ensemble] for ensemble in ensembles)
    differing = sum(one.predicted != other.predicted for one, other in zip(whole, early, strict=True))
    return Tried(whole_s, early_s, [vote.members for vote in early], differing)


def compared(bundle: Bundle, ensembles: tuple[Ensemble, Ensemble], files: list[Path], batch: int) -> int:
    """Print a row for these chips; return how many differ."""
    rows = []
    starts = range(0, len(files), batch)
    for index, start in enumerate(track(starts, f"batches of {batch}", len(starts))):
        chips = [
            decode_chip(file.read_bytes(), bundle.manifest.input) for file in files[start : start + batch]
        ]
        rows.append(tried(ensembles, np.stack(chips), swap=index % 2 == 1))
    whole = len(files) / sum(row.whole_s for row in rows)
    early = len(files) / sum(row.early_s for row in rows)
    members = Counter(count for row in rows for count in row.members)
    shares = ", ".join(f"{count}: {chips / len(files):.1%}" for count, chips in sorted(members.items()))
    mean = sum(count * chips for count, chips in members.items()) / len(files)
    differing = sum(row.differing for row in rows)
    print(
        f"{batch:5} {len(files):6} {whole:8.2f} {early:8.2f} {early / whole:6.2f} {differing:7}   "
        f"{mean:.2f} of {len(bundle.manifest.members)} ({shares})",
        flush=True,
    )
    return differing


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("bundle", nargs="?", type=Path, default=Path("models/uc-merced"))
    parser.add_argument("--chips", type=int, default=256, help="chips to vote on, spread over all")
    parser.add_argument("--all", action="store_true", help="all of them")
    arguments = parser.parse_args()
    files = sorted((data_folder("ucmerced") / "chips").iterdir())
    bundle = load(arguments.bundle)
    ensembles = Ensemble(bundle, "cpu"), Ensemble(bundle, "cpu", early_exit=True)
    for ensemble in ensembles:
        ensemble.self_test()
    chosen = files if arguments.all else files[:: max(1, len(files) // arguments.chips)][: arguments.chips]
    print(f"{bundle.manifest.name} {bundle.manifest.version}, {ensembles[0].precision}")
    print("batch  chips  whole/s  early/s  ratio  differ   members that ran")
    differing = compared(bundle, ensembles, chosen[:: max(1, len(chosen) // 64)][:64], 1)
    differing += compared(bundle, ensembles, chosen, BATCH)
    sys.exit(1 if differing else 0)


if __name__ == "__main__":
    main()
