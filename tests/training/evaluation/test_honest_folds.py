"""Random labels teach nothing: copies of the chips must not make a score out of them.

A stand-in for networks: the labels of the nearest chip of the other folds, which finds every copy
that is there.

Shape suffixes: N chips, L labels.
"""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from service.contract.manifest import Scores
from tests.kit import stripes
from tests.kit.ground import ground, recompressed
from training.data.dataset import open_dataset, prepare
from training.data.out_of_fold import OutOfFold, write_predictions
from training.decision.tune import tune
from training.evaluation.evaluate import evaluate
from training.run.folder import Run, Source

CHIPS = 90


def scored(folder: Path, kinds: tuple[str, ...]) -> tuple[Run, Scores]:
    """Write every chip once for each kind, and score what the nearest chips say."""
    random = np.random.default_rng(5)
    tags: dict[str, list[str]] = {}
    (folder / "data" / "chips").mkdir(parents=True)
    for seed in range(CHIPS):
        row = [label for label in ("road", "trees", "water") if random.random() < 0.4]
        for kind in kinds:
            pixels_HWC = recompressed(ground(seed), 90) if kind == "recompressed" else ground(seed)
            tags[f"{kind}_{seed}"] = row
            Image.fromarray(pixels_HWC).save(folder / "data" / "chips" / f"{kind}_{seed}.png")
    stripes.write_tags(folder / "data" / "labels.csv", tags)
    run = Run.start(folder / "run", stripes.ONE_FROZEN, Source(data=folder / "data"))
    prepare(run)
    dataset = open_dataset(run)
    chips_NP = dataset.chips_NHWC.reshape(len(dataset), -1).astype(np.float32)
    distance_NN = np.linalg.norm(chips_NP[:, None] - chips_NP, axis=2)
    distance_NN[dataset.folds_N[:, None] == dataset.folds_N] = np.inf
    nearest_NL = dataset.targets_NL[distance_NN.argmin(axis=1)]
    probs_NL = np.where(nearest_NL, 0.7, 0.3) + random.random(nearest_NL.shape) / 10
    write_predictions(run, OutOfFold(probs_NL[None].astype(np.float32), dataset.targets_NL, dataset.folds_N))
    tune(run)
    return run, evaluate(run)


@pytest.mark.parametrize("copy", ["exact", "recompressed"])
def test_copies_do_not_raise_the_score(tmp_path: Path, copy: str) -> None:
    _, once = scored(tmp_path / "once", ("chip",))
    run, twice = scored(tmp_path / "twice", ("chip", copy))
    assert once.mean_average_precision_interval and twice.mean_average_precision_interval
    low, high = once.mean_average_precision_interval
    assert low <= twice.mean_average_precision <= high
    assert np.diff(twice.mean_average_precision_interval) > 0.75 * (high - low)
    dataset = open_dataset(run)
    assert dataset.grouping.shared_N.all()
    assert dataset.apart > CHIPS / 2  # they would have been apart
    assert f"{dataset.apart} chips would have had another" in dataset.grouping.sentence(dataset.apart)
