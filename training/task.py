"""Loss, optimizer and schedule of one fit: what Lightning's loop calls.

Knows no files and no data set, only batches. Shape suffixes: B chips of a batch, L labels.
"""

from collections.abc import Callable, Sequence
from functools import partial

import lightning
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch.optim import SGD, Adam, AdamW, Optimizer

from training.batches import Batch
from training.config import MemberConfig
from training.freezing import hold_still
from training.loss import loss_of
from training.model import ChipNet
from training.schedule import rate_factor

OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "adam": Adam,
    "adamw": AdamW,
    "sgd": partial(SGD, momentum=0.9, nesterov=True),
}


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
        hold_still(self.network, self._member, self.current_epoch)

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
