"""What a fit minimises, and how its logits become probabilities.

Both sides of one choice: labels under a softmax are fitted by cross-entropy and predicted by
the softmax, all others by the member's loss and a sigmoid.

Shape suffixes: B chips, L labels, E exclusive labels, S labels with a sigmoid.
"""

from collections.abc import Callable, Sequence

import torch
from timm.loss.asymmetric_loss import AsymmetricLossMultiLabel
from torch import nn

from training.config.schema import MemberConfig

BETA = 2.0
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def loss_of(member: MemberConfig, labels: Sequence[str]) -> Loss:
    """Return the loss of logits (B,L) on 0/1 targets (B,L), both in the order of `labels`.

    The columns of labels the member does not vote on get no gradient.

    Raises:
        ValueError: the member names an unknown label, or options that exclude each other.
    """
    return MemberLoss(member, labels)


class MemberLoss(nn.Module):
    """The sum of two terms in which every label weighs the same.

    With n labels, the member's loss is a mean over its S = n - E labels and weighs S/n. The
    cross-entropy is a sum over the E exclusive labels of -t·log p and weighs 1/n. A logit's
    gradient is then (p - t)/(B·n) under the softmax as it is with plain binary cross-entropy.
    """

    def __init__(self, member: MemberConfig, labels: Sequence[str]) -> None:
        super().__init__()
        chosen = member.labels or tuple(labels)
        _check(member, labels, chosen)
        self._labels = len(chosen)
        self._exclusive = [labels.index(label) for label in member.exclusive]
        self._sigmoid = [labels.index(label) for label in chosen if label not in member.exclusive]
        self._kind, self._smoothing = member.loss, member.label_smoothing
        self._asymmetric = AsymmetricLossMultiLabel(smoothing=self._smoothing, reduction="mean")

    def forward(self, logits_BL: torch.Tensor, targets_BL: torch.Tensor) -> torch.Tensor:
        """Return the scalar loss, in float32 whatever the logits are."""
        logits_BL, targets_BL = logits_BL.float(), targets_BL.float()
        loss = logits_BL.new_zeros(())
        if self._sigmoid:
            share = len(self._sigmoid) / self._labels
            loss = share * self._by_label(logits_BL[:, self._sigmoid], targets_BL[:, self._sigmoid])
        if self._exclusive:
            logits_BE, targets_BE = logits_BL[:, self._exclusive], targets_BL[:, self._exclusive]
            entropy_B = nn.functional.cross_entropy(
                logits_BE, targets_BE.argmax(dim=1), reduction="none", label_smoothing=self._smoothing
            )
            one_B = targets_BE.sum(dim=1) == 1  # the softmax has nothing to say on other chips
            loss = loss + (entropy_B * one_B).mean() / self._labels
        return loss

    def _by_label(self, logits_BS: torch.Tensor, targets_BS: torch.Tensor) -> torch.Tensor:
        match self._kind:
            case "bce":
                smoothed_BS = targets_BS * (1 - self._smoothing) + self._smoothing / 2
                return nn.functional.binary_cross_entropy_with_logits(logits_BS, smoothed_BS)
            case "soft-f2":
                return 1 - soft_fbeta(torch.sigmoid(logits_BS), targets_BS, BETA).mean()
            case "asymmetric":
                # The mean, where the paper sums: the learning rate then means the same as with bce.
                loss: torch.Tensor = self._asymmetric(logits_BS, targets_BS)
                return loss


def soft_fbeta(probs_BL: torch.Tensor, targets_BL: torch.Tensor, beta: float) -> torch.Tensor:
    """Return each chip's F-beta with expected counts in the place of counts, (B).

    Equal to F-beta where probabilities are 0 or 1. A chip without labels has no true positive to
    count: it scores 1 / (1 + expected number of labels set), so none set is right here too.

    Source: Pastor-Pellicer et al. 2013, "F-measure as the error function to train neural networks".
    """
    true_B, actual_B, set_B = (probs_BL * targets_BL).sum(1), targets_BL.sum(1), probs_BL.sum(1)
    empty_B = actual_B == 0
    above_B = torch.where(empty_B, 1, (1 + beta**2) * true_B)
    below_B = torch.where(empty_B, 1, beta**2 * actual_B) + set_B
    return above_B / below_B


def activation(logits_BL: torch.Tensor, labels: Sequence[str], exclusive: Sequence[str]) -> torch.Tensor:
    """Return probabilities (B,L): a softmax over the exclusive labels, sigmoids elsewhere."""
    if not exclusive:
        return torch.sigmoid(logits_BL)
    together = [index for index, label in enumerate(labels) if label in exclusive]
    alone = [index for index, label in enumerate(labels) if label not in exclusive]
    parts = (torch.sigmoid(logits_BL[:, alone]), torch.softmax(logits_BL[:, together], dim=1))
    order = alone + together
    return torch.cat(parts, dim=1)[:, [order.index(index) for index in range(len(labels))]]


def _check(member: MemberConfig, labels: Sequence[str], chosen: Sequence[str]) -> None:
    unknown = sorted({*chosen, *member.exclusive} - set(labels))
    if unknown:
        raise ValueError(f"{member.name}: no label {', '.join(unknown)}; the data has {', '.join(labels)}")
    if not set(member.exclusive) <= set(chosen):
        raise ValueError(f"{member.name}: `exclusive` names labels that `labels` leaves out; add them there")
    if len(member.exclusive) == 1:
        raise ValueError(f"{member.name}: one exclusive label is always true; name at least two, or none")
    if member.loss == "soft-f2" and member.label_smoothing:
        raise ValueError(f"{member.name}: soft-f2 counts labels, it smooths none; set label_smoothing=0")
