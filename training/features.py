"""Pooled features of a frozen backbone, computed once for all eight views and kept on disk.

Shape suffixes: V views, N chips, F features, B chips of a batch.
"""

import logging
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from training.augmentation import VIEWS, view
from training.config import MemberConfig
from training.dataset import Dataset
from training.model import ChipNet, best_device, fast_bfloat16, fingerprint, member_net
from training.progress import track
from training.workspace import Run, whole_file

log = logging.getLogger(__name__)
BATCH = 32
BACKBONE = "backbone.sha256"  # of the weights that made the features


def cached_features(run: Run, member: MemberConfig, dataset: Dataset) -> list[npt.NDArray[np.float16]]:
    """Return the pooled features (N,F) of each of the V views, mapped from disk.

    Views that are already on disk are not computed again. Half precision keeps more digits
    than the bfloat16 arithmetic that makes them.
    """
    folder = run.folder / "features" / member.name
    paths = [folder / f"view{index}.npy" for index in range(VIEWS)]
    missing = [index for index, path in enumerate(paths) if not path.exists()]
    if missing:
        log.info("%s: features of %d views of %d chips", member.name, len(missing), len(dataset))
        device = best_device()
        net = member_net(run, member, len(dataset.labels), pretrained=True).to(device)
        net.to(memory_format=torch.channels_last).eval()
        folder.mkdir(parents=True, exist_ok=True)
        check_backbone(net, folder / BACKBONE)
        for index in missing:
            with whole_file(paths[index]) as partial:
                np.save(partial, _features(net, dataset, index, device))
            log.info("%s: view %d of %d done", member.name, index + 1, VIEWS)
    return [np.load(path, mmap_mode="r") for path in paths]


def check_backbone(net: ChipNet, path: Path) -> None:
    """Note which backbone made the features, or compare with the note that is there.

    Raises:
        ValueError: the ImageNet weights are others than those the features were made with.
    """
    found = fingerprint(net)
    if not path.exists():
        path.write_text(found)
    elif path.read_text() != found:
        raise ValueError(
            f"{path}: {net.architecture}'s ImageNet weights have changed since its features were made; "
            "bring the old ones back, or use another --out"
        )


def _features(net: ChipNet, dataset: Dataset, index: int, device: torch.device) -> npt.NDArray[np.float16]:
    starts = range(0, len(dataset), BATCH)
    features_NF = np.empty((len(dataset), net.head.in_features), np.float16)
    title = f"{net.architecture}, view {index + 1} of {VIEWS}"
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=fast_bfloat16()):
        for start in track(starts, title, len(starts)):
            chips_BHWC = torch.from_numpy(dataset.chips_NHWC[start : start + BATCH].copy()).to(device)
            features_BF = net.pooled_features(view(chips_BHWC, index))
            features_NF[start : start + BATCH] = features_BF.half().cpu().numpy()
    return features_NF
