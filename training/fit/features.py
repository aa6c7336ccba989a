"""What a member's frozen part says of every chip, computed once for all its views and kept on disk.

A processor that computes in bfloat16 does it in PyTorch. On any other CPU, ONNX Runtime needs half
the time or less for the same numbers: chips side by side, each on one core.

Shape suffixes: V views, N chips, B chips of a batch, H height, W width, C bands, h, w, f map where
the network is cut.
"""

import logging
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from service.contract.files import atomic_write
from service.contract.manifest import INPUT
from service.contract.onnx_runtime import open_session
from training.config.schema import MemberConfig
from training.data.dataset import Dataset
from training.fit.device import best_device, fast_bfloat16
from training.network.augmentation import view
from training.network.freezing import FrozenPart, check_cut
from training.network.model import ChipNet, example_chips, fingerprint, member_net
from training.run.files import allocated_array
from training.run.folder import Run
from training.run.progress import track

log = logging.getLogger(__name__)
BATCH = 32
BACKBONE = "backbone.sha256"  # of the weights that made the features
WORTH_EXPORT = 2000  # runs, from which handing the network to ONNX Runtime (half a minute) pays

Compute = Callable[[torch.Tensor], npt.NDArray[np.float16]]


def cached_features(run: Run, member: MemberConfig, dataset: Dataset) -> list[npt.NDArray[np.float16]]:
    """Return the map at the cut (N,h,w,f) of each of the V views, mapped from disk.

    Views that are already on disk are not computed again. Half precision keeps more digits
    than the bfloat16 arithmetic that makes them.

    Raises:
        ValueError: the network cannot be cut there, or its weights are others than before.
    """
    folder = run.folder / "features" / member.name
    paths = [folder / f"view{index}.npy" for index in range(member.cached_views)]
    missing = [index for index, path in enumerate(paths) if not path.exists()]
    if missing:
        log.info("%s: features of %d views of %d chips", member.name, len(missing), len(dataset))
        net = member_net(run, member, dataset, pretrained=True)
        check_backbone(net, folder / BACKBONE)
        frozen = _frozen_part(member, dataset, net)
        compute = _computing(frozen, member, dataset, len(missing))
        for index in missing:
            with atomic_write(paths[index]) as partial:
                _write_view(compute, dataset, index, f"{net.name}, view {index + 1}", partial)
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
        check_cut(net, member, example_chips(dataset))
    part = FrozenPart(net, member).to(best_device()).eval()
    if member.channels_last:
        part.to(memory_format=torch.channels_last)
    return part


def _computing(frozen: FrozenPart, member: MemberConfig, dataset: Dataset, views: int) -> Compute:
    """Return the quickest way here from chips (B,H,W,C) to maps (B,f,h,w), for so many views."""
    device = best_device()
    bfloat16 = member.mixed_precision and fast_bfloat16()
    if device.type == "cpu" and not bfloat16 and views * len(dataset) >= WORTH_EXPORT:
        return _side_by_side(frozen, example_chips(dataset))

    def compute(chips_BHWC: torch.Tensor) -> npt.NDArray[np.float16]:
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
            map_Bfhw: npt.NDArray[np.float16] = frozen(chips_BHWC.to(device)).half().cpu().numpy()
        return map_Bfhw

    return compute


def _side_by_side(frozen: FrozenPart, example_BHWC: torch.Tensor) -> Compute:
    """Run the frozen part in ONNX Runtime, a chip on each core."""
    session = open_session(_exported(frozen, example_BHWC), threads=1)
    cores = torch.get_num_threads()

    def compute(chips_BHWC: torch.Tensor) -> npt.NDArray[np.float16]:
        feeds = [{INPUT: chip_HWC[None]} for chip_HWC in chips_BHWC.numpy()]
        with ThreadPoolExecutor(cores, "features") as callers:
            maps = list(callers.map(lambda feed: session.run(None, feed)[0], feeds))
        return np.concatenate(maps).astype(np.float16)

    return compute


def _exported(frozen: FrozenPart, example_BHWC: torch.Tensor) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations, nothing about this network
        program = torch.onnx.export(
            frozen.eval(),
            (example_BHWC,),
            input_names=[INPUT],
            dynamic_shapes={"chips_BHWC": {0: torch.export.Dim("batch", min=1, max=4096)}},
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    return bytes(program.model_proto.SerializeToString())


def _write_view(compute: Compute, dataset: Dataset, index: int, title: str, path: Path) -> None:
    starts = range(0, len(dataset), BATCH)
    file = None
    for start in track(starts, title, len(starts)):
        chips_BHWC = torch.from_numpy(dataset.chips_NHWC[start : start + BATCH].copy())
        map_Bhwf = compute(view(chips_BHWC, index).contiguous()).transpose(0, 2, 3, 1)
        if file is None:
            shape = (len(dataset), *map_Bhwf.shape[1:])
            file = allocated_array(path, shape, np.float16)
        file[start : start + BATCH] = map_Bhwf
    assert file is not None
    file.flush()
