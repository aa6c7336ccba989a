"""What do the bands beside red, green and blue add, and how are they best brought in?

    python -m benchmarks.quality.bands DATA --sensor S [--file-bands B,…] [--block-km K] [--out RUN]

Fits the recipe `heads` four times on the same folds: to the colours alone, with a wider stem for
all bands, with a second backbone for the other bands, and with a second backbone that sees all
bands as false colours. One row for each: the accuracy of the most probable label, mean average
precision and sample F2, cross-fitted, and how far each is from the colours alone, with the 95 %
interval of the paired difference over groups of chips. Resumes in RUN; half an hour for a hundred
chips.

Shape suffixes: R all chips and replicates of them, N chips, G groups, L labels.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from tempfile import gettempdir
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score

from service.contract.chips.bands import RGB
from training.config.recipes import find_recipe
from training.config.schema import MemberConfig, RunConfig
from training.config.sensor import with_sensor
from training.data.dataset import prepare
from training.data.out_of_fold import OutOfFold, read_predictions
from training.decision.fbeta import sample_fbeta
from training.decision.rule import cross_fitted
from training.fit.fit import fit
from training.fit.predict import predict
from training.run.folder import Run, Source
from training.run.progress import log_to_console

WAYS = ("colours alone", "wider stem", "late fusion", "false colours")
REPLICATES = 1000


def members_of(member: MemberConfig) -> tuple[MemberConfig, ...]:
    """Return one network in every way."""
    changes = (
        {"bands": RGB, "fusion": "early"},
        {"fusion": "early"},
        {"fusion": "late"},
        {"fusion": "false-colour"},
    )
    return tuple(
        replace(member, name=f"{member.architecture}-{way.replace(' ', '-')}", cached_views=4, **change)  # type: ignore[arg-type]
        for way, change in zip(WAYS, changes, strict=True)
    )


def recipe(arguments: argparse.Namespace) -> RunConfig:
    """Return all networks in all ways as one run, which decodes and folds the chips once."""
    config = with_sensor(find_recipe("heads"), arguments.sensor, arguments.file_bands)
    chosen = [m for m in config.members if m.architecture in (arguments.networks or [m.architecture])]
    return replace(config, members=tuple(one for member in chosen for one in members_of(member)))


class Measured(NamedTuple):
    """One way's scores, each of all chips first and then of every replicate (1+R)."""

    accuracy: npt.NDArray[np.float64]  # of the most probable label
    mean_average_precision: npt.NDArray[np.float64]
    sample_f2: npt.NDArray[np.float64]


def measured(found: OutOfFold, config: RunConfig, weights_RN: npt.NDArray[np.int64]) -> Measured:
    """Score one way's networks, cross-fitted, however often each chip is drawn."""
    targets_NL, probs_NL = found.targets_NL, found.probs_ANL.mean(axis=0)
    right_N = targets_NL[np.arange(len(targets_NL)), probs_NL.argmax(axis=1)]
    f2_N = sample_fbeta(cross_fitted(found, config).labels_BL, targets_NL)
    drawn_R = weights_RN.sum(axis=1)
    precision_R = [_mean_average_precision(targets_NL, probs_NL, weights_N) for weights_N in weights_RN]
    return Measured(weights_RN @ right_N / drawn_R, np.array(precision_R), weights_RN @ f2_N / drawn_R)


def _mean_average_precision(
    targets_NL: npt.NDArray[np.bool_], probs_NL: npt.NDArray[np.float32], weights_N: npt.NDArray[np.int64]
) -> float:
    columns = zip(targets_NL.T, probs_NL.T, strict=True)
    drawn = [column for column in columns if column[0] @ weights_N]
    return float(np.mean([average_precision_score(*column, sample_weight=weights_N) for column in drawn]))


def _of(found: OutOfFold, rows: list[int]) -> OutOfFold:
    return replace(found, probs_ANL=found.probs_ANL[rows], label_mask_AL=found.label_mask_AL[rows])


def draws(groups_N: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return how often each chip counts (1+R,N): once, and as groups are drawn with replacement."""
    groups = int(groups_N.max()) + 1
    random = np.random.default_rng(0)
    drawn_RG = np.stack(
        [np.bincount(random.integers(0, groups, groups), minlength=groups) for _ in range(REPLICATES)]
    )
    return np.concatenate([np.ones((1, len(groups_N)), np.int64), drawn_RG[:, groups_N]])


def row(title: str, found: Measured, base: Measured) -> None:
    """Print one way's scores and how far they are from those of the colours alone."""
    cells = []
    for scores_R, base_R in zip(found, base, strict=True):
        low, high = np.quantile(scores_R[1:] - base_R[1:], (0.025, 0.975))
        difference = (
            f"{scores_R[0] - base_R[0]:+.3f} ({low:+.3f} to {high:+.3f})" if found is not base else ""
        )
        cells.append(f"{scores_R[0]:7.3f} {difference:26}")
    print(f"{title:36}", *cells, flush=True)


def main() -> None:
    """Print the table: each network by itself, and all together."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--sensor", required=True)
    parser.add_argument("--file-bands")
    parser.add_argument("--block-km", type=float)
    parser.add_argument("--weights", type=Path, help="folder of <architecture>.safetensors")
    parser.add_argument("--networks", nargs="+", help="some of the recipe's; all by default")
    parser.add_argument("--out", type=Path, default=Path(gettempdir()) / "chipvote-bands")
    arguments = parser.parse_args()
    log_to_console()
    source = Source(data=arguments.data, weights=arguments.weights, block_km=arguments.block_km)
    run = Run.start(arguments.out, recipe(arguments), source)
    dataset = prepare(run)
    fit(run)
    predict(run)
    found, weights_RN = read_predictions(run), draws(dataset.grouping.groups_N)
    networks = len(run.config.members) // len(WAYS)
    print(f"{'':36}", *(f"{name:34}" for name in ("accuracy", "mAP", "sample F2")))
    for chosen in ([[index] for index in range(networks)] if networks > 1 else []) + [[*range(networks)]]:
        names = [run.config.members[len(WAYS) * index].architecture for index in chosen]
        ways = [
            measured(_of(found, [len(WAYS) * index + way for index in chosen]), run.config, weights_RN)
            for way in range(len(WAYS))
        ]
        for way, each in zip(WAYS, ways, strict=True):
            row(f"{' + '.join(names) if len(names) == 1 else 'all'}, {way}", each, ways[0])


if __name__ == "__main__":
    main()
