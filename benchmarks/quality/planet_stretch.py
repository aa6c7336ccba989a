"""Fit the uint16 → uint8 stretch of Planet TIFF chips on pairs of TIFF and JPEG.

    python -m benchmarks.quality.planet_stretch

Fits it in two ways: on the pairs as they lie, without those whose pixels do not correlate, which
gives the knots that `service/contract/chips/tone.py` holds; and on all pairs, each moved into
place. Prints both, and the mean absolute error in grey levels on pairs that were left out of the
fit (leave one pair out; always the moved pair), next to that of a single straight line per band.
"""

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image
from scipy.optimize import nnls

from benchmarks.harness.data import data_folder
from training.data.alignment import align, overlap

BAND_OF_CHANNEL = (2, 1, 0)  # red, green, blue among the file's blue, green, red, near infrared
MIN_CORRELATION = 0.75  # mean over channels; it stops six of the seven pairs that have to be moved
QUANTILES = (0.002, 0.1, 0.3, 0.5, 0.7, 0.85, 0.95, 0.998)
STEP = 7  # every 7th pixel is enough for a curve of eight knots

Pixels = tuple[np.ndarray, np.ndarray]  # raw and displayed, both (P, 3)


def read_pairs(folder: Path) -> tuple[dict[str, Pixels], dict[str, Pixels]]:
    """Return the pairs that correlate as they lie, and all pairs, moved into place."""
    lying, moved = {}, {}
    for tif in sorted((folder / "tif").glob("*.tif")):
        raw = tifffile.imread(tif)[..., BAND_OF_CHANNEL]
        shown = np.asarray(Image.open(folder / "jpg" / f"{tif.stem}.jpg").convert("RGB"))
        found = align(raw, shown)
        moved[tif.stem] = _sample(*overlap(raw, shown, round(found.down_px), round(found.right_px)))
        correlation = np.mean([np.corrcoef(raw[..., c].flat, shown[..., c].flat)[0, 1] for c in range(3)])
        if correlation >= MIN_CORRELATION:
            lying[tif.stem] = _sample(raw, shown)
    return lying, moved


def _sample(raw: np.ndarray, shown: np.ndarray) -> Pixels:
    return raw.reshape(-1, 3)[::STEP].astype(float), shown.reshape(-1, 3)[::STEP].astype(float)


def ramps(x: np.ndarray, knots: np.ndarray) -> np.ndarray:
    """Return the basis whose non-negative combinations are the rising piecewise lines."""
    rises = np.clip((x[:, None] - knots[:-1]) / np.diff(knots), 0, 1)
    return np.hstack([np.ones((len(x), 1)), rises])


def fit(raw: np.ndarray, shown: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fit one channel; return knots' raw values and grey levels."""
    knots = np.round(np.quantile(raw, QUANTILES), -1)
    weights, _ = nnls(ramps(raw, knots), shown)
    return knots, np.cumsum(weights)


def line(raw: np.ndarray, shown: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fit one channel by a straight line; return its ends over all raw values."""
    ends = np.array([0, 1 << 16])
    return ends, np.polyval(np.polyfit(raw, shown, 1), ends)


def fitted(how: Callable[[np.ndarray, np.ndarray], Pixels], pairs: Iterable[Pixels]) -> list[Pixels]:
    """Fit every channel on some pairs."""
    raw, shown = (np.concatenate(side) for side in zip(*pairs, strict=True))
    return [how(raw[:, c], shown[:, c]) for c in range(3)]


def error(curves: list[Pixels], raw: np.ndarray, shown: np.ndarray) -> float:
    """Return the mean absolute error on a pair."""
    toned = np.stack([np.interp(raw[:, c], *curve) for c, curve in enumerate(curves)], axis=1)
    return float(np.abs(toned.clip(0, 255) - shown).mean())


def main() -> None:
    """Fit, print the knots, and score the fits on left-out pairs."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter).parse_args()
    lying, moved = read_pairs(data_folder("planet"))
    for title, pairs in (("as they lie", lying), ("moved", moved)):
        print(f"{title}: {', '.join(pairs)}")
        for name, (knots, levels) in zip(("red", "green", "blue"), fitted(fit, pairs.values()), strict=True):
            print(f"{name:6} raw {knots.astype(int).tolist()} grey {levels.round(1).tolist()}")
    print(f"{'left out':10} {'as they lie':>11} {'moved':>6} {'line':>6}  mean absolute error, grey levels")
    errors = []
    for left_out, pair in moved.items():
        rest = [
            [other for name, other in pairs.items() if name != left_out] for pairs in (lying, moved, moved)
        ]
        curves = [fitted(how, others) for how, others in zip((fit, fit, line), rest, strict=True)]
        errors.append([error(curve, *pair) for curve in curves])
        print(_row(left_out, errors[-1]))
    print(_row("mean", np.mean(errors, axis=0)))
    print(_row("median", np.median(errors, axis=0)))


def _row(title: str, errors: Iterable[float]) -> str:
    lying, moved, straight = errors
    return f"{title:10} {lying:11.2f} {moved:6.2f} {straight:6.2f}"


if __name__ == "__main__":
    main()
