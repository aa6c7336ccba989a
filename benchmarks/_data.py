"""Where the benchmarks' real data lies: CHIPVOTE_DATA, or shared/data beside the repository."""

import os
import sys
from pathlib import Path

BESIDE = Path(__file__).parents[2] / "shared" / "data"


def data_folder(name: str) -> Path:
    """Return a folder of real data; without it, say so and end the script as skipped."""
    folder = Path(os.environ.get("CHIPVOTE_DATA", BESIDE)) / name
    if not folder.is_dir():
        print(f"skipped: no real data in {folder}; set CHIPVOTE_DATA to the folder that holds {name}/")
        sys.exit(0)
    return folder
