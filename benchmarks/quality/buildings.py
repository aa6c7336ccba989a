"""Does the default bundle find buildings in scenes of other countries, at two resolutions?

    python -m benchmarks.quality.buildings [SCENES_FOLDER]

The folder holds one orthophoto of each place at 0.30 m (`PLACE_z19.tif`) and at 0.15 m
(`PLACE_z20.tif`), and `building_fraction_256px.csv`: what share of each window of the former is
built, from OpenStreetMap. The command maps both as it is, and resamples the latter by itself: the
windows show the same ground. A window is built from 2 % on; asked is the probability of
`buildings`. Half a minute on two cores.
"""

import argparse
import csv
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table
from scipy.stats import bootstrap
from sklearn.metrics import roc_auc_score

from benchmarks.harness.data import data_folder
from service.contract.bundle import load
from service.offline.maps.making import Making
from service.offline.maps.plan import Wishes
from service.settings import Settings

TRUTH, LABEL, BUILT = "building_fraction_256px.csv", "buildings", 0.02
FINE, COARSE = "z20", "z19"

Window = tuple[str, int, int]  # place, column and row of the coarser scene
Found = list[tuple[bool, float]]  # of each window whether it is built, and the probability of that


def truth(folder: Path) -> dict[Window, bool]:
    """Return whether a window is built."""
    with (folder / TRUTH).open() as stream:
        return {
            (row["scene"].split(f"_{COARSE}")[0], int(row["col_off"]), int(row["row_off"])): (
                float(row["building_fraction"]) >= BUILT
            )
            for row in csv.DictReader(stream)
            if COARSE in row["scene"]
        }


def labelled(scene: Path, place: str, built: dict[Window, bool]) -> Found:
    """Map a scene, and put the truth beside each window."""
    settings, times = Settings(), 2 if FINE in scene.name else 1
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "map.parquet"
        wishes = Wishes(all_members=True)
        for _ in Making([str(scene)], [out], load(settings.bundle), settings, wishes).progress():
            pass
        rows = pq.read_table(out).to_pylist()
    found = {(place, row["column"] // times, row["row"] // times): row[f"p_{LABEL}"] for row in rows}
    return [(built[window], found[window]) for window in sorted(found)]


def auc(found: Found) -> str:
    """Return the area under the ROC curve, and the middle 95 % of it when windows are drawn anew.

    It needs windows of both kinds, and two of each to draw from.
    """
    sides: tuple[Found, ...] = tuple([one for one in found if one[0] is built] for built in (False, True))
    if not all(sides):
        return "–"

    def area(*drawn: Sequence[float]) -> float:
        truth = np.repeat([False, True], [len(side) for side in drawn])
        return float(roc_auc_score(truth, np.concatenate(drawn)))

    values = [[probability for _, probability in side] for side in sides]
    if min(map(len, values)) < 2:
        return f"{area(*values):.4f}"
    low, high = bootstrap(
        values, area, vectorized=False, n_resamples=2000, method="percentile", rng=0
    ).confidence_interval
    return f"{area(*values):.4f} ({low:.3f} to {high:.3f})"


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, metavar="SCENES_FOLDER")
    folder = parser.parse_args().folder or data_folder("oam_scenes")
    built = truth(folder)
    table = Table(
        "place", "windows", "built", "AUC at 0.30 m", "AUC at 0.15 m, resampled", "largest difference"
    )
    pooled: dict[str, Found] = {COARSE: [], FINE: []}
    for place in [*sorted({place for place, *_ in built}), "all"]:
        if place != "all":
            both = {zoom: labelled(folder / f"{place}_{zoom}.tif", place, built) for zoom in pooled}
            for zoom, found in both.items():
                pooled[zoom] += found
        else:
            both = pooled
        coarse, fine = both.values()
        most = max(abs(one - other) for (_, one), (_, other) in zip(coarse, fine, strict=True))
        counts = [str(len(coarse)), str(sum(truth for truth, _ in coarse))]
        table.add_row(place, *counts, auc(coarse), auc(fine), f"{most:.3f}")
    Console().print(table)


if __name__ == "__main__":
    main()
