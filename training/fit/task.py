"""Loss, optimizer and schedule of one fit: what Lightning's loop calls.

Knows no files and no data set, only batches. Shape suffixes: B chips of a batch, L labels.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import lightning
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch.optim import SGD, Adam, AdamW, Optimizer

from training.config.schema import MemberConfig
from training.fit.batches import Batch
from training.network.freezing import freeze
from training.network.loss import loss_of
from training.network.model import ChipNet

OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "adam": Adam,
    "adamw": AdamW,
    "sgd": partial(SGD, momentum=0.9, nesterov=True),
}

STEP_FACTOR = 0.1


class FitTask(lightning.LightningModule):
    """One network learning."""

    def __init__(
        self, network: ChipNet, member: MemberConfig, labels: Sequence[str], steps_per_epoch: int
    ) -> None:
        super().__init__()
        self.network = network
        self._loss = loss_of(member, labels)
        self._member, self._steps_per_epoch = member, steps_per_epoch

    def on_train_epoch_start(self) -> None:
        """Hold still what does not learn in this epoch."""
        self.network.train()
        freeze(self.network, self._member, self.current_epoch)

    def training_step(self, batch: Batch, batch_index: int) -> torch.Tensor:
        """Return the batch's loss."""
        loss: torch.Tensor = self._loss(self.network(batch.inputs).float(), batch.targets_BL)
        return loss

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return the member's optimizer, the head and the rest at rates of their own."""
        member = self._member
        head = list(self.network.head.parameters())
        rest = [p for name, p in self.network.named_parameters() if not name.startswith("head.")]
        groups = [
            {"params": parameters, "lr": rate}
            for parameters, rate in (
                (head, member.learning_rate),
                (rest, member.learning_rate * member.backbone_rate),
            )
            if parameters
        ]
        optimizer = OPTIMIZERS[member.optimizer](groups, weight_decay=member.weight_decay)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer,
            lambda step: rate_factor(
                member.schedule, step / self._steps_per_epoch, member.epochs, member.warmup_epochs
            ),
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def rate_factor(kind: Literal["step", "cosine"], epoch: float, epochs: int, warmup_epochs: int = 0) -> float:
    """Return the factor at a moment, counted in epochs.

    Args:
        kind: `step` divides by 10 at one third and again at two thirds of the epochs; `cosine`
            falls along half a wave from the end of the warm-up to 0 at the end.
        epoch: epochs done, 0..epochs, with a fraction inside an epoch.
        epochs: how many there will be.
        warmup_epochs: epochs in which the rate first rises evenly from 0.

    Source: He et al. 2019, "Bag of tricks for image classification" (warm-up, cosine).
    """
    if epoch < warmup_epochs:
        return epoch / warmup_epochs
    if kind == "step":
        return STEP_FACTOR ** (3 * int(epoch) // epochs)
    done = (epoch - warmup_epochs) / max(epochs - warmup_epochs, 1e-9)
    return (1 + math.cos(math.pi * min(done, 1.0))) / 2
