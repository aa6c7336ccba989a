"""A process that does nothing but vote, and says how much memory it holds.

    python -m benchmarks.harness.resident FOLDER PRECISION MOST BATCH…

Prints a line of JSON once the bundle's ensemble is loaded and after so many batches. Their sizes
are drawn from 1 to MOST, as a service's are: memory that grows with new shapes shows.
"""

import json
import sys
from pathlib import Path

import numpy as np
import psutil

from benchmarks.harness.servers import pss_mb
from service.contract import bundle
from service.contract.manifest import Precision
from service.engine.ensemble import Ensemble


def main(folder: str, precision: Precision, most: int, marks: list[int]) -> None:
    """Vote, and report at the marks."""
    loaded = bundle.load(Path(folder))
    ensemble = Ensemble(loaded, "cpu", precision)
    chips_GHWC = loaded.golden.chips_GHWC
    report(0)
    random = np.random.default_rng(0)
    for number in range(1, marks[-1] + 1):
        rows = random.integers(0, len(chips_GHWC), random.integers(1, most, endpoint=True))
        ensemble.vote(chips_GHWC[rows])
        if number in marks:
            report(number)


def report(batches: int) -> None:
    """Print a line."""
    print(json.dumps({"batches": batches, "memory_mb": round(pss_mb(psutil.Process()), 1)}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), [int(mark) for mark in sys.argv[4:]])  # type: ignore[arg-type]
