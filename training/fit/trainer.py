"""Lightning's loop as every fit uses it: device, precision, clipping, averaging, quiet.

Knows no folds and no files but the checkpoints' folder.
"""

import logging
import signal
import warnings
from collections.abc import Sequence
from pathlib import Path

import lightning
import torch
from lightning.pytorch.callbacks import Callback, Checkpoint, EMAWeightAveraging
from lightning.pytorch.utilities.exceptions import SIGTERMException

from training.config.schema import MemberConfig, RunConfig
from training.fit.batches import Batches
from training.fit.checkpoints import LAST, WholeCheckpoints
from training.fit.device import best_device, fast_bfloat16
from training.fit.task import FitTask
from training.network.model import ChipNet

log = logging.getLogger(__name__)


class Averaging(EMAWeightAveraging):
    """Gives the network its average also where all epochs had been done before an interruption."""

    def on_fit_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Do what a loop without epochs to do leaves out."""
        self.on_train_end(trainer, pl_module)


def learns_deep(member: MemberConfig) -> bool:
    """Tell whether more than a head learns; a head alone takes seconds, no checkpoint, no GPU."""
    return member.freeze != "backbone"


def device_of(member: MemberConfig) -> torch.device:
    """Return where a member learns."""
    return best_device() if learns_deep(member) else torch.device("cpu")


def ready(network: ChipNet, member: MemberConfig) -> ChipNet:
    """Lay a network out in memory, and compile it, as the member asks."""
    if member.channels_last:
        network.to(memory_format=torch.channels_last)
    if member.compile:
        network.compile()
    return network


def trainer_of(
    config: RunConfig, member: MemberConfig, callbacks: Sequence[Callback], max_steps: int | None = None
) -> lightning.Trainer:
    """Return the trainer of one fit, which stops after all epochs or so many optimizer steps."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)  # one display: ours
    deep = learns_deep(member)
    averaging = [] if member.ema_decay is None else [Averaging(decay=member.ema_decay)]
    return lightning.Trainer(
        max_epochs=member.epochs,
        max_steps=max_steps or config.max_steps or -1,
        accelerator=device_of(member).type,
        devices=1,
        precision="bf16-mixed" if deep and member.mixed_precision and fast_bfloat16() else "32-true",
        gradient_clip_val=member.clip_norm,
        callbacks=[*callbacks, *averaging],
        plugins=[WholeCheckpoints()],
        enable_checkpointing=any(isinstance(callback, Checkpoint) for callback in callbacks),
        reload_dataloaders_every_n_epochs=1,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def train(trainer: lightning.Trainer, task: FitTask, batches: Batches, checkpoints: Path | None) -> None:
    """Run the loop, from the folder's checkpoint where there is one."""
    last = checkpoints / LAST if checkpoints else None
    with warnings.catch_warnings():
        # The checkpoint of a fit that was interrupted is there on purpose.
        warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")
        # Lightning 2.6 still asks torch's pytree the old way.
        warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
        try:
            trainer.fit(task, batches, ckpt_path=last if last and last.exists() else None, weights_only=False)
        except SIGTERMException:
            raise SystemExit(128 + signal.SIGTERM) from None  # Lightning would exit as if all were done
        except SystemExit:  # how Lightning passes on Ctrl-C
            log.warning("stopped; the same command goes on from the last whole epoch")
            raise
