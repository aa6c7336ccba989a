"""Fit the uint16 → uint8 stretch of Planet TIFF chips on pairs that show the same ground.

    python -m benchmarks.planet_stretch

Prints the knots that `service/chips.py` holds, and the mean absolute error in grey
levels on pairs that were left out of the fit (leave one pair out), next to that of a
single straight line per band.
"""

from pathlib import Path

import numpy as np
import tifffile
from PIL import Image
from scipy.optimize import nnls

from benchmarks._data import data_folder

BAND_OF_CHANNEL = (2, 1, 0)  # red, green, blue among the file's blue, green, red, near infrared
MIN_CORRELATION = 0.75  # mean over channels; below it the pair shows different ground
QUANTILES = (0.002, 0.1, 0.3, 0.5, 0.7, 0.85, 0.95, 0.998)
STEP = 7  # every 7th pixel is enough for a curve of eight knots


def read_pairs(folder: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return for each usable pair its raw and its displayed pixels, both (P, 3)."""
    pairs = {}
    for tif in sorted((folder / "tif").glob("*.tif")):
        raw = tifffile.imread(tif)[..., BAND_OF_CHANNEL].reshape(-1, 3).astype(float)
        jpg = Image.open(folder / "jpg" / f"{tif.stem}.jpg").convert("RGB")
        shown = np.asarray(jpg).reshape(-1, 3).astype(float)
        correlation = np.mean([np.corrcoef(raw[:, c], shown[:, c])[0, 1] for c in range(3)])
        if correlation >= MIN_CORRELATION:
            pairs[tif.stem] = raw[::STEP], shown[::STEP]
    return pairs


def ramps(x: np.ndarray, knots: np.ndarray) -> np.ndarray:
    """Return the basis whose non-negative combinations are the rising piecewise lines."""
    rises = np.clip((x[:, None] - knots[:-1]) / np.diff(knots), 0, 1)
    return np.hstack([np.ones((len(x), 1)), rises])


def fit(raw: np.ndarray, shown: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fit one channel; return knots' raw values and grey levels."""
    knots = np.round(np.quantile(raw, QUANTILES), -1)
    weights, _ = nnls(ramps(raw, knots), shown)
    return knots, np.cumsum(weights)


def main() -> None:
    """Fit, print the knots, and score the fit on left-out pairs."""
    pairs = read_pairs(data_folder("planet"))
    print(f"pairs used: {', '.join(pairs)}")
    raw, shown = (np.concatenate(side) for side in zip(*pairs.values(), strict=True))
    for c, name in enumerate(("red", "green", "blue")):
        knots, levels = fit(raw[:, c], shown[:, c])
        print(f"{name:6} raw {knots.astype(int).tolist()} grey {levels.round(1).tolist()}")
    print(f"{'left out':10} {'curve':>6} {'line':>6}  mean absolute error, grey levels")
    errors = []
    for left_out in pairs:
        rest = [pair for name, pair in pairs.items() if name != left_out]
        raw, shown = (np.concatenate(side) for side in zip(*rest, strict=True))
        test_raw, test_shown = pairs[left_out]
        curve, line = np.empty_like(test_shown), np.empty_like(test_shown)
        for c in range(3):
            curve[:, c] = np.interp(test_raw[:, c], *fit(raw[:, c], shown[:, c]))
            line[:, c] = np.polyval(np.polyfit(raw[:, c], shown[:, c], 1), test_raw[:, c])
        errors.append([np.abs(fitted.clip(0, 255) - test_shown).mean() for fitted in (curve, line)])
        print(f"{left_out:10} {errors[-1][0]:6.1f} {errors[-1][1]:6.1f}")
    print(f"{'mean':10} {np.mean(errors, axis=0)[0]:6.1f} {np.mean(errors, axis=0)[1]:6.1f}")


if __name__ == "__main__":
    main()
