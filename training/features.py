"""What a member's frozen part says of every chip, computed once for all its views and kept on disk.

Shape suffixes: V views, N chips, B chips of a batch, h, w, f map at the cut.
"""

import logging
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from training.augmentation import view
from training.config import MemberConfig
from training.dataset import Dataset
from training.device import best_device, fast_bfloat16
from training.freezing import FrozenPart, check_cut
from training.model import ChipNet, fingerprint, member_net
from training.progress import track
from training.workspace import Run, allocated_array, whole_file

log = logging.getLogger(__name__)
BATCH = 32
BACKBONE = "backbone.sha256"  # of the weights that made the features


def cached_features(run: Run, member: MemberConfig, dataset: Dataset) -> list[npt.NDArray[np.float16]]:
    """Return the map at the cut (N,h,w,f) of each of the V views, mapped from disk.

    Views that are already on disk are not computed again. Half precision keeps more digits
    than the bfloat16 arithmetic that makes them.

    Raises:
        ValueError: the network cannot be cut there, or its weights are not those of an earlier time.
    """
    folder = run.folder / "features" / member.name
    paths = [folder / f"view{index}.npy" for index in range(member.cached_views)]
    missing = [index for index, path in enumerate(paths) if not path.exists()]
    if missing:
        log.info("%s: features of %d views of %d chips", member.name, len(missing), len(dataset))
        net = member_net(run, member, dataset, pretrained=True)
        check_backbone(net, folder / BACKBONE)
        frozen = _frozen_part(member, dataset, net)
        bfloat16 = member.mixed_precision and fast_bfloat16()
        for index in missing:
            with whole_file(paths[index]) as partial:
                _write_view(frozen, dataset, index, bfloat16, partial)
            log.info("%s: view %d of %d done", member.name, index + 1, len(paths))
    return [np.load(path, mmap_mode="r") for path in paths]


def check_backbone(net: ChipNet, path: Path) -> None:
    """Note which backbone made the features, or compare with the note that is there.

    Raises:
        ValueError: the ImageNet weights are others than those the features were made with.
    """
    found = fingerprint(net)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(found)
    elif path.read_text() != found:
        raise ValueError(
            f"{path}: {net.name}'s ImageNet weights have changed since its features were made; "
            "bring the old ones back, or use another --out"
        )


def _frozen_part(member: MemberConfig, dataset: Dataset, net: ChipNet) -> FrozenPart:
    """Return the frozen part, once both parts together have been found to be the whole."""
    if member.freeze == "trunk":
        check_cut(net, member, torch.from_numpy(dataset.chips_NHWC[:2].copy()))
    part = FrozenPart(net, member).to(best_device()).eval()
    if member.channels_last:
        part.to(memory_format=torch.channels_last)
    return part


def _write_view(frozen: FrozenPart, dataset: Dataset, index: int, bfloat16: bool, path: Path) -> None:
    device = best_device()
    starts = range(0, len(dataset), BATCH)
    file = None
    title = f"{frozen.net.name}, view {index + 1}"
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
        for start in track(starts, title, len(starts)):
            chips_BHWC = torch.from_numpy(dataset.chips_NHWC[start : start + BATCH].copy()).to(device)
            map_Bfhw = frozen(view(chips_BHWC, index)).half().cpu()
            map_Bhwf = map_Bfhw.permute(0, 2, 3, 1).numpy()
            if file is None:
                shape = (len(dataset), *map_Bhwf.shape[1:])
                file = allocated_array(path, shape, np.float16)
            file[start : start + BATCH] = map_Bhwf
    assert file is not None
    file.flush()
