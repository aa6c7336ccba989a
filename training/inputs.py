"""What a fit sees of a chip: its pixels, or a frozen backbone's features of it.

Both kinds offer the same four things, so the loop in `fit.py` and the predictions in
`predict.py` do not know which they work on. What they save is the same too: weights in
`ChipNet`'s names, all of them or the head's only.

Shape suffixes: V views, N chips, B chips of a batch, F features.
"""

from typing import Protocol

import numpy as np
import torch
from torch import nn

from training.augmentation import VIEWS, random_views
from training.config import MemberConfig
from training.dataset import Dataset
from training.features import cached_features
from training.model import HEAD, ChipNet, member_net, start_at_prevalence
from training.workspace import Run

State = dict[str, torch.Tensor]
Rows = np.ndarray[tuple[int], np.dtype[np.int64]]


class Inputs(Protocol):
    """The seam between the two ways to train a member."""

    def network(self, rows: Rows) -> nn.Module:
        """Return a fresh network for training on these chips."""

    def restored(self, state: State) -> nn.Module:
        """Return a network with saved weights."""

    def state(self, network: nn.Module) -> State:
        """Return what must be kept of a trained network."""

    def batch(self, rows: Rows, generator: torch.Generator | None = None) -> torch.Tensor:
        """Return the inputs of these chips, as they are or each in a random view."""


def inputs_of(run: Run, member: MemberConfig, dataset: Dataset) -> Inputs:
    """Choose the kind that fits the member's freezing."""
    if member.freeze == "backbone":
        return FeatureInputs(run, member, dataset)
    return ChipInputs(run, member, dataset)


class ChipInputs:
    """Whole networks on pixels."""

    def __init__(self, run: Run, member: MemberConfig, dataset: Dataset) -> None:
        self._run, self._member, self._dataset = run, member, dataset

    def network(self, rows: Rows) -> nn.Module:
        """Return the backbone with ImageNet weights and a fresh head."""
        net = self._net(pretrained=True)
        start_at_prevalence(net.head, self._dataset.targets_NL[rows])
        return net

    def restored(self, state: State) -> nn.Module:
        """Return the network with saved weights."""
        net = self._net(pretrained=False)
        net.load_state_dict(state)
        return net

    def state(self, network: nn.Module) -> State:
        """Return every weight."""
        return network.state_dict()

    def batch(self, rows: Rows, generator: torch.Generator | None = None) -> torch.Tensor:
        """Return uint8 or uint16 (B,H,W,C)."""
        chips_BHWC = torch.from_numpy(self._dataset.chips_NHWC[rows])
        return chips_BHWC if generator is None else random_views(chips_BHWC, generator)

    def _net(self, *, pretrained: bool) -> ChipNet:
        net = member_net(self._run, self._member, len(self._dataset.labels), pretrained=pretrained)
        return net.to(memory_format=torch.channels_last)


class FeatureInputs:
    """Heads on cached pooled features."""

    def __init__(self, run: Run, member: MemberConfig, dataset: Dataset) -> None:
        views = cached_features(run, member, dataset)
        self._features_VNF = torch.from_numpy(np.stack(views))
        self._dataset = dataset

    def network(self, rows: Rows) -> nn.Module:
        """Return a fresh linear head."""
        head = self._head()
        start_at_prevalence(head, self._dataset.targets_NL[rows])
        return head

    def restored(self, state: State) -> nn.Module:
        """Return the head with saved weights."""
        head = self._head()
        head.load_state_dict({name.removeprefix(HEAD): value for name, value in state.items()})
        return head

    def state(self, network: nn.Module) -> State:
        """Return the head's weights."""
        return {HEAD + name: value for name, value in network.state_dict().items()}

    def batch(self, rows: Rows, generator: torch.Generator | None = None) -> torch.Tensor:
        """Return float32 features (B,F)."""
        if generator is None:
            return self._features_VNF[0, rows].float()
        return self._features_VNF[torch.randint(VIEWS, (len(rows),), generator=generator), rows].float()

    def _head(self) -> nn.Linear:
        return nn.Linear(self._features_VNF.shape[-1], len(self._dataset.labels))
