"""What a fit keeps: its state after every epoch, to resume, and its weights. Never half written."""

import os
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO
from safetensors.torch import load_file

from service.contract.files import atomic_write
from training.run.files import undamaged
from training.run.folder import Run

LAST = "last.ckpt"


class WholeCheckpoints(TorchCheckpointIO):
    """Replaces the former checkpoint in one step.

    Lightning's own way writes to the system's temporary folder first; where that is another
    disk, the last step is a copy, and a kill during it leaves no usable checkpoint at all.
    """

    def save_checkpoint(
        self,
        checkpoint: dict[str, Any],
        path: str | os.PathLike[str],
        storage_options: Any = None,  # noqa: ANN401 — Lightning's signature
    ) -> None:
        """Write a checkpoint beside the former and rename it."""
        with atomic_write(Path(path)) as partial:
            torch.save(checkpoint, partial)


def each_epoch(folder: Path) -> ModelCheckpoint:
    """Return the callback that keeps the state of the last epoch in a folder."""
    return ModelCheckpoint(folder, filename=Path(LAST).stem, enable_version_counter=False)


def read_fit(run: Run, member: str, fold: int) -> dict[str, torch.Tensor]:
    """Return the weights that a finished fit keeps.

    Raises:
        ValueError: they are not there or damaged.
    """
    with undamaged(run.need_fit(member, fold)) as path:
        return load_file(path)
