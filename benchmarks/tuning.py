"""Do tuned thresholds beat a flat 0.2 on chips they were not tuned on, and how fast are they?

    python -m benchmarks.tuning

Real held-out probabilities of two models on 6,000 Planet chips each. Each round splits the
chips into random halves, tunes on one and scores on the other, both ways. The interval is
the 2.5th to 97.5th percentile of the mean gain when whole rounds are drawn again.

Time: the same probabilities, drawn again up to the 40,479 rows of the contest's training set.
"""

import csv
import gzip
import time
from collections.abc import Callable

import numpy as np

from benchmarks._data import data_folder
from training.thresholds import FLAT, ascend, sample_fbeta, tune

ROUNDS = 20
ROWS = 40_479
METHODS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "flat 0.2": lambda probs_NL, targets_NL: np.full(probs_NL.shape[1], FLAT, np.float32),
    "ascent": ascend,
    "ascent, shrunk": tune,
}


def read(model: str) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities float32 and truth bool, both (N, 17)."""
    path = data_folder("predictions") / f"model_{model}_6000.csv.gz"
    with gzip.open(path, "rt", newline="") as stream:
        header, *rows = csv.reader(stream)
    values = np.array([row[1:] for row in rows], np.float32)
    labels = sum(name.endswith("_pred") for name in header)
    return values[:, :labels].copy(), values[:, labels:] > 0.5


def cross_fit(probs_NL: np.ndarray, targets_NL: np.ndarray) -> dict[str, np.ndarray]:
    """Return each method's mean F2 on unseen halves, one value per round."""
    random = np.random.default_rng(0)
    scores: dict[str, list[float]] = {name: [] for name in METHODS}
    for _ in range(ROUNDS):
        first, second = np.array_split(random.permutation(len(probs_NL)), 2)
        for name, method in METHODS.items():
            f2_N = np.empty(len(probs_NL))
            for seen, unseen in ((first, second), (second, first)):
                thresholds_L = method(probs_NL[seen], targets_NL[seen])
                f2_N[unseen] = sample_fbeta(probs_NL[unseen] >= thresholds_L, targets_NL[unseen])
            scores[name].append(float(f2_N.mean()))
    return {name: np.array(values) for name, values in scores.items()}


def interval(gains: np.ndarray) -> tuple[float, float]:
    """Return the bootstrap interval of the mean."""
    random = np.random.default_rng(1)
    means = random.choice(gains, (2000, len(gains))).mean(axis=1)
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)


def main() -> None:
    """Print the table of gains, then the time."""
    print(f"{'model':6} {'thresholds':15} {'F2 unseen':>9} {'gain':>9} {'interval':>20} {'rounds won':>11}")
    for model in ("a", "b"):
        scores = cross_fit(*read(model))
        for name, values in scores.items():
            gains = values - scores["flat 0.2"]
            low, high = interval(gains)
            won = f"{(gains > 0).sum()}/{ROUNDS}"
            figures = f"{values.mean():9.5f} {gains.mean():+9.5f} {low:+9.5f}…{high:+9.5f} {won:>11}"
            print(f"{model:6} {name:15} {figures}")
    probs_NL, targets_NL = read("a")
    rows = np.random.default_rng(2).integers(0, len(probs_NL), ROWS)
    jitter = np.random.default_rng(3).normal(0, 1e-4, (ROWS, probs_NL.shape[1]))
    many_NL = (probs_NL[rows] + jitter).clip(0, 1).astype(np.float32)
    times_s = []
    for _ in range(7):
        began_s = time.perf_counter()
        tune(many_NL, targets_NL[rows])
        times_s.append(time.perf_counter() - began_s)
    print(
        f"tune {ROWS} × {probs_NL.shape[1]}: median {np.median(times_s):.3f} s, slowest {max(times_s):.3f} s"
    )


if __name__ == "__main__":
    main()
