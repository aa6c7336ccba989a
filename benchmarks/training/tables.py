"""How long do tables of tags take before any chip is decoded?

    python -m benchmarks.training.tables [--rows N]

The tags of the Planet contest, repeated up to so many rows, or random ones where it is not there;
written in each form, with a column of groups of ten chips each. Chips are empty files, in twenty
sub-folders. Read and checked, names matched with files, grouped by the column, and folded with
and without the groups, as `prepare` does. Seconds, best of two.
"""

import argparse
import csv
import json
import logging
import os
import tempfile
import time
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path

import numpy as np

from benchmarks.harness.data import BESIDE
from training.data.folds import assign_folds
from training.data.groups import read_column
from training.data.names import find_chips
from training.data.tables.forms import read_tags
from training.run.folder import Source

FOLDS, SEED, REPEATS = 5, 2017, 2
SUBFOLDERS, GROUP = 20, 10  # chips in a group
LABELS, SHARE = 17, 0.17  # of random tags

Rows = list[tuple[str, list[str], str]]  # name, labels, group


def rows_of(count: int) -> Rows:
    """Return so many rows."""
    path = Path(os.environ.get("CHIPVOTE_DATA", BESIDE)) / "planet" / "train_v2.csv"
    if path.exists():
        with path.open(newline="") as stream:
            tags = [row["tags"].split() for row in csv.DictReader(stream)]
    else:
        random_NL = np.random.default_rng(SEED).random((count, LABELS)) < SHARE
        tags = [[f"label{label}" for label in np.flatnonzero(row_L)] for row_L in random_NL]
    labels = {label for row in tags for label in row}
    print(f"{count:,} rows × {len(labels)} labels, {'real' if path.exists() else 'random'}")
    each = enumerate(islice(cycle(tags), count))
    return [(f"part{n % SUBFOLDERS}/chip_{n}.jpg", row, f"scene{n // GROUP}") for n, row in each]


def write_tags(path: Path, rows: Rows) -> None:
    """Write `image_name,tags,scene`."""
    lines = [
        ("image_name", "tags", "scene"),
        *((name, " ".join(labels), scene) for name, labels, scene in rows),
    ]
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows(lines)


def write_one_hot(path: Path, rows: Rows) -> None:
    """Write a name, and 0 or 1 for each label."""
    labels = sorted({label for _, own, _ in rows for label in own})
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["image_name", *labels])
        writer.writerows([name, *(int(label in own) for label in labels)] for name, own, _ in rows)


def write_json_lines(path: Path, rows: Rows) -> None:
    """Write an object with a name and a list on each line."""
    path.write_text("".join(json.dumps({"image": name, "labels": own}) + "\n" for name, own, _ in rows))


def write_parquet(path: Path, rows: Rows) -> None:
    """Write a name and a list.

    Raises:
        ImportError: pyarrow is not there.
    """
    import pyarrow as pa
    from pyarrow import parquet

    names, labels, _ = zip(*rows, strict=True)
    parquet.write_table(pa.table({"image_name": names, "labels": labels}), path)


FORMS: dict[str, tuple[str, Callable[[Path, Rows], None]]] = {
    "tags CSV": ("tags.csv", write_tags),
    "one-hot CSV": ("one_hot.csv", write_one_hot),
    "JSON Lines": ("tags.jsonl", write_json_lines),
    "Parquet": ("tags.parquet", write_parquet),
}


def measure(table: Path, grouped: Path, chips: Path) -> dict[str, float]:
    """Return the seconds of each stage."""
    seconds, last = {}, time.perf_counter()

    def lap(stage: str) -> None:
        nonlocal last
        now = time.perf_counter()
        seconds[stage], last = now - last, now

    tags = read_tags(table)
    lap("read, checked")
    paths, missing = find_chips(Source(data=chips, chips=chips), tags.names)
    assert len(paths) == len(tags.names) and not missing
    lap("names matched")
    scenes = read_column(grouped, "scene", tags.names)
    number_of = {scene: number for number, scene in enumerate(dict.fromkeys(scenes))}
    groups_N = np.array([number_of[scene] for scene in scenes])
    lap("groups read")
    assign_folds(tags.targets_NL, FOLDS, SEED, groups_N)
    lap("folds of groups")
    assign_folds(tags.targets_NL, FOLDS, SEED)
    lap("folds of chips")
    return seconds | {"all": sum(seconds.values())}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="How long do tables of tags take?")
    parser.add_argument("--rows", type=int, default=50_000)
    rows = rows_of(parser.parse_args().rows)
    logging.getLogger("training").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        chips = Path(folder) / "chips"
        for part in range(SUBFOLDERS):
            (chips / f"part{part}").mkdir(parents=True)
        for name, _, _ in rows:
            (chips / name).touch()
        for form, (file, write) in FORMS.items():
            path = Path(folder) / file
            try:
                write(path, rows)
            except ImportError:
                print(f"{form}: skipped, pyarrow is not there")
                continue
            runs = [measure(path, Path(folder) / "tags.csv", chips) for _ in range(REPEATS)]
            best = min(runs, key=lambda seconds: seconds["all"])
            if form == next(iter(FORMS)):
                print(f"\n{'seconds':<12}", *(f"{stage:>16}" for stage in best))
            print(f"{form:<12}", *(f"{value:>16.2f}" for value in best.values()))


if __name__ == "__main__":
    main()
