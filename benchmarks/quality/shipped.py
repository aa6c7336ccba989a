"""How good are the graphs that ship, on chips their networks have not seen?

    python -m benchmarks.quality.shipped [RUN_FOLDER]

The evaluation scores PyTorch networks. Here every fold's network is exported and quantised as
the bundle's members are, with calibration chips from its own training folds, and scores the
chips it never saw; thresholds are cross-fitted as ever. Graphs are kept in `shipped/` of the
run's folder, so an interrupted benchmark goes on. About two minutes per network on two cores.

Shape suffixes: A members, N chips, L labels.
"""

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from service.contract.files import atomic_write
from training.config.schema import MemberConfig
from training.data.dataset import Dataset, input_spec, open_dataset
from training.data.out_of_fold import read_predictions
from training.decision.rule import cross_fitted
from training.evaluation.metrics import measure, table
from training.export.graphs import convert, write_float32
from training.export.members import PlannedMember, served_network, spread
from training.export.parity import graph_answers
from training.run.folder import OUT_OF_FOLD, Run
from training.run.progress import track


def write_graph(run: Run, member: MemberConfig, fold: int, dataset: Dataset, path: Path) -> None:
    """Export one fold's network at the bundle's first precision."""
    network = served_network(run, PlannedMember(member.name, member, (fold,), ()), dataset)
    seen_N = np.flatnonzero(dataset.folds_N != fold)
    calibration_BHWC = dataset.chips_NHWC[seen_N[spread(len(seen_N), run.config.calibration_chips)]]
    with atomic_write(path) as partial, tempfile.TemporaryDirectory() as scratch:
        float32 = Path(scratch) / "float32.onnx"
        write_float32(network, input_spec(run), float32)
        convert(float32, run.config.precisions[0], partial, calibration_BHWC)


def main() -> None:
    """Print the scores of the shipped graphs beside those of the PyTorch networks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("run", nargs="?", type=Path, default=Path("runs/uc-merced"), metavar="RUN_FOLDER")
    folder: Path = parser.parse_args().run
    if not (folder / OUT_OF_FOLD).exists():
        print(f"skipped: no predictions in {folder}; name the folder of a run that has been evaluated")
        return
    run = Run.open(folder)
    dataset, found = open_dataset(run), read_predictions(run)
    probs_ANL = np.empty_like(found.probs_ANL)
    folds = range(run.config.folds)
    jobs = [(index, member, fold) for index, member in enumerate(run.config.members) for fold in folds]
    for index, member, fold in track(jobs, "graphs of every fold", len(jobs)):
        path = run.folder / "shipped" / f"{member.name}-fold{fold}.{run.config.precisions[0]}.onnx"
        if not path.exists():
            write_graph(run, member, fold, dataset, path)
        rows = np.flatnonzero(dataset.folds_N == fold)
        probs_ANL[index, rows] = graph_answers(path, dataset.chips_NHWC[rows])[0]
        print(f"{path.name}: {len(rows)} chips", file=sys.stderr, flush=True)
    for name, part in (("PyTorch", found), (run.config.precisions[0], replace(found, probs_ANL=probs_ANL))):
        decision = cross_fitted(part, run.config)
        scores = measure(
            decision.labels_BL, decision.probabilities_BL, found.targets_NL, dataset.labels, dataset.groups,
            fitting="cross-fitted",
        )  # fmt: skip
        print(f"\n{name}, {table(scores)}")


if __name__ == "__main__":
    main()
