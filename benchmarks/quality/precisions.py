"""How much do a bundle's smaller graphs decide otherwise than float32?

    python -m benchmarks.quality.precisions [BUNDLE] [--float32 FOLDER] [--chips N]

Runs every precision of the bundle on the UC Merced chips and compares label decisions and sample F2
with those of the float32 graphs: the bundle's own, or `<member>.float32.onnx` of a folder where the
bundle ships none. One row per member at its own thresholds, and one for the rule. Scores here are
of chips that the networks were trained on; only their differences mean something.

Shape suffixes: M members, B chips, L labels.
"""

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.harness.data import data_folder
from service.contract.bundle import Bundle, load
from service.contract.chips.decode import decode_chip
from service.contract.manifest import Precision
from service.contract.rules import Vote
from training.data.labels import multi_hot
from training.data.tables.forms import read_tags
from training.decision.fbeta import sample_fbeta
from training.export.parity import graph_answers
from training.run.progress import track

Flags = npt.NDArray[np.bool_]


def answers(
    bundle: Bundle, precision: Precision, folder: Path | None, chips_BHWC: npt.NDArray[np.uint8]
) -> npt.NDArray[np.float32]:
    """Return every member's probabilities (M,B,L) from its own graphs, or from a folder's."""
    paths = [
        folder / f"{member.name}.{precision}.onnx" if folder else bundle.graph_path(member, precision)
        for member in bundle.manifest.members
    ]
    return np.stack([graph_answers(path, chips_BHWC)[0] for path in track(paths, precision, len(paths))])


def row(name: str, found_BL: Flags, expected_BL: Flags, targets_BL: Flags, difference: float) -> None:
    """Print how one set of decisions differs from another."""
    agreement = float((found_BL == expected_BL).mean())
    change = float((sample_fbeta(found_BL, targets_BL) - sample_fbeta(expected_BL, targets_BL)).mean())
    print(f"{name:28} {agreement:10.3%} {difference:12.3f} {change:+12.4f}", flush=True)


def main() -> None:
    """Print one table for each precision."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("bundle", type=Path, nargs="?", default=Path("models/uc-merced"))
    parser.add_argument("--float32", type=Path, metavar="FOLDER", help="<member>.float32.onnx of each member")
    parser.add_argument("--chips", type=int, help="so many, evenly spread; all without it")
    arguments = parser.parse_args()
    bundle = load(arguments.bundle)
    manifest = bundle.manifest
    others = sorted(manifest.precisions - {"float32"})
    if not others or not (arguments.float32 or "float32" in manifest.precisions):
        print("skipped: nothing to compare; name a bundle with float32 and another precision, or --float32")
        return
    data = data_folder("ucmerced")
    tags = read_tags(data / "labels.csv")
    count = min(arguments.chips or len(tags.names), len(tags.names))
    rows_B = np.unique(np.linspace(0, len(tags.names) - 1, count).astype(int))
    chips_BHWC = np.stack(
        [decode_chip((data / "chips" / f"{tags.names[i]}.jpg").read_bytes(), manifest.input) for i in rows_B]
    ).astype(np.uint8)
    targets_BL = multi_hot(tags.rows(), bundle.label_names)[rows_B]
    expected_MBL = answers(bundle, "float32", arguments.float32, chips_BHWC)
    for precision in others:
        probs_MBL = answers(bundle, precision, None, chips_BHWC)
        print(f"{precision} beside float32 on {len(rows_B)} chips")
        print(f"{'':28} {'agreement':>10} {'largest diff':>12} {'F2 change':>12}")
        if isinstance(manifest.decision, Vote):
            thresholds_ML = np.array(manifest.decision.thresholds, np.float32)
            for member, found_BL, wanted_BL, limits_L in zip(
                manifest.members, probs_MBL, expected_MBL, thresholds_ML, strict=True
            ):
                difference = float(np.abs(found_BL - wanted_BL).max())
                row(member.name, found_BL >= limits_L, wanted_BL >= limits_L, targets_BL, difference)
        found, expected = (bundle.decider.decide(probs) for probs in (probs_MBL, expected_MBL))
        difference = float(np.abs(found.probabilities_BL - expected.probabilities_BL).max())
        row(f"rule: {manifest.decision.rule}", found.labels_BL, expected.labels_BL, targets_BL, difference)


if __name__ == "__main__":
    main()
