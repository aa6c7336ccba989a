"""Does each trick help? Every variant against the same recipe without it, on real chips.

    python -m benchmarks.training.ablations [VARIANT …]

One architecture, its last stage trained for two epochs on all five folds of the UC Merced
chips: enough to rank, not to set records. Differences are paired over all chips, with
bootstrap intervals. Runs are kept in `runs/ablations/`, so a second call is quick. The cached
maps take half an hour of two cores once, each variant that trains a few minutes.

Decisions alone (blend, expected-f, …) are compared on three architectures' predictions when
`runs/uc-merced` has been evaluated.
"""

import argparse
import logging
import os
from dataclasses import replace
from pathlib import Path

from benchmarks.harness.data import data_folder
from service.contract.processors import processors
from training.config.recipes import trunks
from training.config.schema import RunConfig
from training.config.variants import VARIANTS
from training.data import dataset
from training.evaluation.compare import compare
from training.fit import fit, predict
from training.run.folder import OUT_OF_FOLD, Run, Source

FOLDER = Path("runs/ablations")
EVALUATED = Path("runs/uc-merced")
TRAINED = ("soft-f2", "asymmetric", "smooth", "average", "oversample", "views")
DECIDED = ("blend", "expected-f", "weighted", "greedy", "cooccurrence", "macro")


def base() -> RunConfig:
    """Return the recipe that every variant changes."""
    config = trunks()
    member = next(member for member in config.members if member.architecture == "densenet121")
    return replace(config, recipe="base", members=(replace(member, epochs=2),))


def trained(name: str, config: RunConfig, source: Source) -> Run:
    """Return a run with its predictions; all share the first one's cached maps."""
    run = Run.start(FOLDER / name, config, source)
    dataset.prepare(run)
    shared = FOLDER / "base" / "features"
    if name != "base" and not (run.folder / "features").exists():
        (run.folder / "features").symlink_to(shared.resolve())
    fit.fit(run)
    predict.predict(run)
    return run


def main() -> None:
    """Print each variant's paired difference in F2."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    # No other variants: the shared maps may not be theirs.
    parser.add_argument("variants", nargs="*", choices=(*TRAINED, *DECIDED), metavar="VARIANT")
    chosen = parser.parse_args().variants or (*TRAINED, *DECIDED)
    logging.basicConfig(format="%(message)s")
    logging.getLogger("training").setLevel(logging.INFO)
    os.environ.setdefault("OMP_NUM_THREADS", str(processors()))
    data = data_folder("ucmerced")
    source = Source(data=data, weights=data.parents[1] / "weights")
    lines = []
    for name in chosen:
        if name in DECIDED:
            if not (EVALUATED / OUT_OF_FOLD).exists():
                print(f"{name}: skipped, {EVALUATED} has no predictions")
                continue
            first = Run.open(EVALUATED)
            second = replace(first, config=VARIANTS[name](first.config))
        else:
            first = trained("base", base(), source)
            second = trained(name, VARIANTS[name](base()), source)
        difference = compare(first, second)
        lines.append("| {} | {:+.4f} | {:+.4f} … {:+.4f} |".format(name, *difference))
    print("\n| variant | F2 | 95 % interval |\n|---|---:|---:|", *lines, sep="\n")


if __name__ == "__main__":
    main()
