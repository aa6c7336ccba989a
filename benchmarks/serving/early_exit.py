"""What does stopping early save, and does it ever change a label set?

    python -m benchmarks.serving.early_exit [BUNDLE] [--chips N]

The whole vote and the early exit take turns on the same UC Merced chips, on the CPU: one by one,
as lone requests come, and in batches of 32, as a busy service takes them. Prints chips/s and what
the early exit gains in them, the same in processor time, which other work on the machine does
not touch, how many members ran, and how many label sets differ: any such chip ends with exit
status 1. About a minute on two cores. That no chip's label set differs, a slow test makes sure of:
`tests/system/test_label_sets.py`.

Shape suffixes: B chips, H height, W width, C bands.
"""

import argparse
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
import numpy.typing as npt

from benchmarks.harness.data import data_folder
from service.contract.bundle import Bundle, load
from service.contract.chips.decode import decode_chip
from service.contract.manifest import Pixel
from service.engine.ensemble import Ensemble
from service.engine.verdict import Verdict
from training.run.progress import track

BATCH = 32


@dataclass
class Way:
    """One way to vote, and what it has taken so far."""

    ensemble: Ensemble
    seconds: float = 0
    processor_s: float = 0
    votes: list[Verdict] = field(default_factory=list)

    def vote(self, chips_BHWC: npt.NDArray[Pixel]) -> None:
        """Vote on one more batch."""
        began_s, busy_s = perf_counter(), process_time()
        self.votes += self.ensemble.vote(chips_BHWC)
        self.seconds += perf_counter() - began_s
        self.processor_s += process_time() - busy_s


def compared(bundle: Bundle, ensembles: tuple[Ensemble, Ensemble], files: list[Path], batch: int) -> int:
    """Print a row for these chips; return how many differ."""
    whole, early = (Way(ensemble) for ensemble in ensembles)
    starts = range(0, len(files), batch)
    for index, start in enumerate(track(starts, f"batches of {batch}", len(starts))):
        part = files[start : start + batch]
        chips_BHWC = np.stack([decode_chip(file.read_bytes(), bundle.manifest.input) for file in part])
        for way in (whole, early)[:: 1 if index % 2 else -1]:  # neither is always first
            way.vote(chips_BHWC)
    count = len(files)
    differing = sum(a.predicted != b.predicted for a, b in zip(whole.votes, early.votes, strict=True))
    members = Counter(vote.members for vote in early.votes)
    mean = sum(members.elements()) / count
    shares = ", ".join(f"{ran}: {chips / count:.1%}" for ran, chips in sorted(members.items()))
    print(
        f"{batch:5} {count:6} {count / whole.seconds:8.2f} {count / early.seconds:8.2f} "
        f"{whole.seconds / early.seconds:6.2f} {whole.processor_s / early.processor_s:10.2f} {differing:7}   "
        f"{mean:.2f} of {len(bundle.manifest.members)} ({shares})",
        flush=True,
    )
    return differing


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("bundle", nargs="?", type=Path, default=Path("models/uc-merced"))
    parser.add_argument("--chips", type=int, default=128, help="chips to vote on, spread over all")
    arguments = parser.parse_args()
    files = sorted((data_folder("ucmerced") / "chips").iterdir())
    bundle = load(arguments.bundle)
    whole = Ensemble(bundle, "cpu")
    # At the same precision: left to itself, it might measure another one to be the fastest.
    ensembles = whole, Ensemble(bundle, "cpu", whole.precision, early_exit=True)
    for ensemble in ensembles:
        ensemble.self_test()
    chosen = files[:: max(1, len(files) // arguments.chips)][: arguments.chips]
    print(f"{bundle.manifest.name} {bundle.manifest.version}, {ensembles[0].precision}")
    print("batch  chips  whole/s  early/s  ratio  processor  differ   members that ran")
    differing = compared(bundle, ensembles, chosen[:: max(1, len(chosen) // 64)][:64], 1)
    differing += compared(bundle, ensembles, chosen, BATCH)
    sys.exit(1 if differing else 0)


if __name__ == "__main__":
    main()
