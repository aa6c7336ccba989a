"""Stage 2: every network's probabilities for the chips it was not trained on.

Shape suffixes: A architectures, N chips, L labels.
"""

import logging
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file

from training.dataset import open_dataset
from training.inputs import inputs_of
from training.progress import track
from training.workspace import Run, whole_file

log = logging.getLogger(__name__)
BATCH = 64


@dataclass(frozen=True)
class OutOfFold:
    """Held-out probabilities of one network per architecture for every chip."""

    probs_ANL: npt.NDArray[np.float32]
    targets_NL: npt.NDArray[np.bool_]
    folds_N: npt.NDArray[np.int64]


def predict(run: Run) -> None:
    """Write the out-of-fold probabilities, unless they are there."""
    path = run.folder / "out_of_fold.npz"
    if path.exists():
        return
    dataset = open_dataset(run)
    shape = (len(run.config.members), *dataset.targets_NL.shape)
    probs_ANL = np.empty(shape, np.float32)
    for index, member in enumerate(run.config.members):
        inputs = inputs_of(run, member, dataset)
        for fold in range(run.config.folds):
            weights = run.need(str(run.fit_path(member.architecture, fold).relative_to(run.folder)), "fit")
            network = inputs.restored(load_file(weights)).eval()
            rows = np.flatnonzero(dataset.folds_N == fold)
            title = f"predict {member.architecture}, fold {fold + 1} of {run.config.folds}"
            starts = range(0, len(rows), BATCH)
            for start in track(starts, title, len(starts)):
                chosen = rows[start : start + BATCH]
                with torch.inference_mode():
                    probs_ANL[index, chosen] = torch.sigmoid(network(inputs.batch(chosen))).numpy()
    with whole_file(path) as partial:
        np.savez(partial, probs_ANL=probs_ANL, targets_NL=dataset.targets_NL, folds_N=dataset.folds_N)
    log.info("out-of-fold probabilities of %d chips from %d architectures", shape[1], shape[0])


def open_predictions(run: Run) -> OutOfFold:
    """Read what `predict` wrote."""
    with np.load(run.need("out_of_fold.npz", "predict"), allow_pickle=False) as arrays:
        return OutOfFold(arrays["probs_ANL"], arrays["targets_NL"], arrays["folds_N"])
