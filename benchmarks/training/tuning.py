"""Do tuned thresholds and votes beat a flat 0.2 on chips not tuned on, and how fast are they?

    python -m benchmarks.training.tuning [--run RUN_FOLDER]

Real held-out probabilities of two models on 6,000 Planet chips. Each round splits the chips into
random halves, tunes on one and scores on the other, both ways. The interval is the 2.5th to 97.5th
percentile of the mean gain when whole rounds are drawn again: it tells of the splits, not of other
chips. With --run the same on a run's own out-of-fold probabilities, where a round is a fold.

Time: the same probabilities, drawn again up to the 40,479 rows of the contest's training set.

Shape suffixes: A architectures, N chips, L labels.
"""

import argparse
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sklearn.metrics import fbeta_score

from benchmarks.harness.data import Predictions, planet_predictions, run_predictions
from training.config.schema import FLAT, DecisionConfig
from training.decision.fbeta import Probs, Truth, chip_scores, sample_fbeta
from training.decision.member_weights import tune_weights, weighted_vote
from training.decision.optimum import ascend
from training.decision.thresholds import tune_row, tune_thresholds

ROUNDS = 20
ROWS = 40_479
Split = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]  # seen and unseen chips
Method = Callable[[Predictions, Probs], Truth]  # seen chips, probs_ANL of unseen ones -> their label sets


def f2_numpy(targets_NL: Truth, predicted_NL: Truth) -> float:
    """Return sample F2 as plainly as numpy allows."""
    hits_N = (targets_NL & predicted_NL).sum(axis=1)
    return float((5 * hits_N / np.maximum(4 * targets_NL.sum(axis=1) + predicted_NL.sum(axis=1), 1)).mean())


def f2_scikit_learn(targets_NL: Truth, predicted_NL: Truth) -> float:
    """Return sample F2 as the contest's kernels did."""
    return float(fbeta_score(targets_NL, predicted_NL, beta=2, average="samples", zero_division=0))


def grid_search(
    probs_NL: Probs, targets_NL: Truth, labels: Iterable[int], f2: Callable[[Truth, Truth], float]
) -> Probs:
    """Tune by the contest's customary routine.

    One label after another, 100 thresholds each, one pass.

    Source: the public kernels of Kaggle's "Planet: Understanding the Amazon from Space", 2017.
    """
    thresholds_L = np.full(probs_NL.shape[1], FLAT, np.float32)
    for label in labels:
        best, best_f2 = FLAT, 0.0
        for step in range(100):
            thresholds_L[label] = step / 100
            value = f2(targets_NL, probs_NL >= thresholds_L)
            if value > best_f2:
                best, best_f2 = step / 100, value
        thresholds_L[label] = best
    return thresholds_L


def flat(seen: Predictions, probs_ANL: Probs) -> Truth:
    """Decide by 0.2 for all, one vote each."""
    members, _, labels = probs_ANL.shape
    return weighted_vote(probs_ANL >= np.float32(FLAT), np.ones((members, labels), np.int64))


class GridSearch:
    """Decides with one member by grid search; keeps ascent's lead on the chips tuned on."""

    def __init__(self) -> None:
        self.leads: list[float] = []

    def __call__(self, seen: Predictions, probs_ANL: Probs) -> Truth:
        """Tune on the seen chips, decide the others."""
        probs_NL, targets_NL = seen.probs_ANL[0], seen.targets_NL
        thresholds_L = grid_search(probs_NL, targets_NL, range(probs_NL.shape[1]), f2_numpy)
        ours = sample_fbeta(probs_NL >= ascend(probs_NL, targets_NL), targets_NL).mean()
        self.leads.append(float(ours - sample_fbeta(probs_NL >= thresholds_L, targets_NL).mean()))
        labels_NL: Truth = probs_ANL[0] >= thresholds_L
        return labels_NL


def decided(**choices: object) -> Method:
    """Return the method that a configuration describes."""
    decision = DecisionConfig(**choices)  # type: ignore[arg-type]

    def method(seen: Predictions, probs_ANL: Probs) -> Truth:
        thresholds_AL = tune_thresholds(*seen, decision)
        label_mask_AL = np.ones(thresholds_AL.shape, np.bool_)
        weights_AL = tune_weights(seen.probs_ANL, thresholds_AL, seen.targets_NL, label_mask_AL, decision)
        return weighted_vote(probs_ANL >= thresholds_AL[:, None, :], weights_AL)

    return method


GRID_SEARCH = GridSearch()
ONE_MEMBER: dict[str, Method] = {
    "flat 0.2": flat,
    "grid search": GRID_SEARCH,
    "ascent, raw": decided(shrinkage=0.0),
    "default": decided(),
    "λ 4000": decided(shrinkage=4000.0),
    "λ nested": decided(shrinkage=None),
    "10 bags": decided(bags=10, shrinkage=0.0),
    "10 bags, λ 2000": decided(bags=10, shrinkage=2000.0),
    "macro": decided(objective="macro"),
    "macro, λ nested": decided(objective="macro", shrinkage=None),
    "macro, 10 bags": decided(objective="macro", bags=10),
}
ENSEMBLE: dict[str, Method] = {
    "flat 0.2": flat,
    "default": decided(),
    "shared": decided(thresholds="shared"),
    "shared, λ 2000": decided(thresholds="shared", shrinkage=2000.0),
    "tuned weights": decided(weights="tuned"),
    "greedy": decided(members="greedy"),
    "greedy, tuned": decided(members="greedy", weights="tuned"),
}


def halves(chips: int) -> list[list[Split]]:
    """Return rounds of random halves, both ways."""
    random = np.random.default_rng(0)
    pairs = [np.array_split(random.permutation(chips), 2) for _ in range(ROUNDS)]
    return [[(first, second), (second, first)] for first, second in pairs]


def folds(folds_N: npt.NDArray[np.int64]) -> list[list[Split]]:
    """Return a round per fold: the others are seen."""
    return [
        [(np.flatnonzero(folds_N != fold), np.flatnonzero(folds_N == fold))] for fold in np.unique(folds_N)
    ]


def cross_fit(found: Predictions, method: Method, rounds: list[list[Split]]) -> tuple[np.ndarray, np.ndarray]:
    """Return sample F2 and macro F2 on each round's unseen chips."""
    sample, macro = [], []
    for splits in rounds:
        labels_NL = np.concatenate(
            [method(found.part(seen), found.probs_ANL[:, unseen]) for seen, unseen in splits]
        )
        targets_NL = found.targets_NL[np.concatenate([unseen for _, unseen in splits])]
        sample.append(chip_scores(labels_NL, targets_NL, "samples").mean())
        macro.append(chip_scores(labels_NL, targets_NL, "macro").mean())
    return np.array(sample), np.array(macro)


def interval(gains: np.ndarray) -> tuple[float, float]:
    """Return the bootstrap interval of the mean."""
    random = np.random.default_rng(1)
    means = random.choice(gains, (2000, len(gains))).mean(axis=1)
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)


def print_rows(name: str, found: Predictions, methods: dict[str, Method], rounds: list[list[Split]]) -> None:
    """Print one line per method; gains are over a flat 0.2."""
    scores = {}
    for method_name, method in methods.items():
        scores[method_name] = sample, macro = cross_fit(found, method, rounds)
        gains, macro_gains = sample - scores["flat 0.2"][0], macro - scores["flat 0.2"][1]
        low, high = interval(gains)
        won, macro_won = (f"{(values > 0).sum()}/{len(rounds)}" for values in (gains, macro_gains))
        print(
            f"{name:6} {method_name:16} {sample.mean():9.5f} {gains.mean():+9.5f} "
            f"{f'{low:+.5f}…{high:+.5f}':>19} {won:>6} {macro_gains.mean():+9.4f} {macro_won:>6}",
            flush=True,
        )


def print_optimum(leads: list[float]) -> None:
    """Compare the objective that ascent and grid search reached on the chips they were tuned on."""
    print(
        f"\non the chips tuned on, ascent is not behind grid search in {sum(lead >= 0 for lead in leads)}",
        end="",
    )
    print(f" of {len(leads)}: ahead by {np.mean(leads):.5f} on average, by {min(leads):.5f} at least")


def print_times(found: Predictions, repeats: int = 5) -> None:
    """Print processor seconds of ascent and grid search, which take turns.

    Grid search tunes one label; its seconds are multiplied by the number of labels.
    """
    chips, labels = found.targets_NL.shape
    rows = np.random.default_rng(2).integers(0, chips, ROWS)
    jitter_NL = np.random.default_rng(3).normal(0, 1e-4, (ROWS, labels))
    probs_NL = (found.probs_ANL[0, rows] + jitter_NL).clip(0, 1).astype(np.float32)
    targets_NL = found.targets_NL[rows]
    one = [labels // 2]
    candidates: dict[str, tuple[Callable[[], object], int]] = {
        "ascent": (lambda: ascend(probs_NL, targets_NL), 1),
        "default": (lambda: tune_row(probs_NL, targets_NL, found.folds_N[rows], DecisionConfig()), 1),
        "grid search, numpy": (lambda: grid_search(probs_NL, targets_NL, one, f2_numpy), labels),
        "grid search, scikit-learn": (
            lambda: grid_search(probs_NL, targets_NL, one, f2_scikit_learn),
            labels,
        ),
    }
    times_s: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(repeats):
        for name, (work, factor) in candidates.items():
            began_s = time.process_time()
            work()
            times_s[name].append((time.process_time() - began_s) * factor)
    print(
        f"\n{ROWS} × {labels}, processor time, in turns (grid search: one label, times {labels}), "
        f"medians of {repeats}:"
    )
    for name, values in times_s.items():
        ratios = np.array(values) / times_s["ascent"]
        print(f"{name:26} {np.median(values):9.3f} s {np.median(ratios):8.1f} × ascent")


def main() -> None:
    """Print the table of gains, then the times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--run", type=Path, help="a training run's folder; default: the Planet predictions")
    run: Path | None = parser.parse_args().run
    found = run_predictions(run) if run else planet_predictions()
    rounds = folds(found.folds_N) if run else halves(len(found.targets_NL))
    print(
        f"{'member':6} {'decision':16} {'F2 unseen':>9} {'gain':>9} {'interval':>19} {'won':>6} "
        f"{'macro':>9} {'won':>6}"
    )
    for member in range(len(found.probs_ANL)):
        print_rows(str(member) if run else "ab"[member], found.member(member), ONE_MEMBER, rounds)
    if len(found.probs_ANL) > 1:
        print_rows("all", found, ENSEMBLE, rounds)
    print_optimum(GRID_SEARCH.leads)
    print_times(found)


if __name__ == "__main__":
    main()
