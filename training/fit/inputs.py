"""What a fit sees of a chip: its pixels, or what the frozen part of its network says of them.

Both kinds offer the same things, so the loop in `fit.py` and the predictions in
`predict.py` do not know which they work on. What they save is the same too: weights in
`ChipNet`'s names, all of them or those that learn.

Shape suffixes: N chips, B chips of a batch, V views, h, w, f map at the cut.
"""

from typing import Protocol

import numpy as np
import torch

from training.config.schema import CACHED, MemberConfig
from training.data.dataset import Dataset
from training.fit.features import cached_features
from training.network.augmentation import augment, view
from training.network.freezing import learning_part
from training.network.model import ChipNet, member_net, start_at_prevalence
from training.run.folder import Run

State = dict[str, torch.Tensor]
Rows = np.ndarray[tuple[int], np.dtype[np.int64]]


class Inputs(Protocol):
    """The seam between the two ways to train a member."""

    def network(self, rows: Rows) -> ChipNet:
        """Return a fresh network for training on these chips, pretrained."""

    def restored(self, state: State) -> ChipNet:
        """Return a network with saved weights."""

    def seen(self, rows: Rows, index: int) -> torch.Tensor:
        """Return what the network sees of these chips in view `index`."""

    def drawn(self, rows: Rows, generator: torch.Generator) -> torch.Tensor:
        """Return a training batch of these chips on the CPU, made as far as it is cheap there."""

    def augment(self, batch: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Do the rest of a training batch's augmentation, where the batch is."""


def inputs_of(run: Run, member: MemberConfig, dataset: Dataset) -> Inputs:
    """Choose the kind that fits the member's freezing."""
    return (FrozenInputs if member.freeze in CACHED else ChipInputs)(run, member, dataset)


class _MemberInputs:
    """What both kinds have in common: the member's network, of which one leaves a part away."""

    def __init__(self, run: Run, member: MemberConfig, dataset: Dataset) -> None:
        self._run, self._member, self._dataset = run, member, dataset

    def network(self, rows: Rows) -> ChipNet:
        """Return what learns, with ImageNet weights and a head at these chips' prevalence."""
        net = self._net(pretrained=self._member.freeze != "backbone")  # whose head alone is left
        start_at_prevalence(net.head, self._dataset.targets_NL[rows])
        return net

    def restored(self, state: State) -> ChipNet:
        """Return the network with saved weights."""
        net = self._net(pretrained=False)
        net.load_state_dict(state)
        return net

    def _net(self, *, pretrained: bool) -> ChipNet:
        return member_net(self._run, self._member, self._dataset, pretrained=pretrained)


class ChipInputs(_MemberInputs):
    """Whole networks on pixels."""

    def seen(self, rows: Rows, index: int) -> torch.Tensor:
        """Return raw chips (B,H,W,C)."""
        return view(torch.from_numpy(self._dataset.chips_NHWC[rows]), index)

    def drawn(self, rows: Rows, generator: torch.Generator) -> torch.Tensor:
        """Return raw chips (B,H,W,C) as they are."""
        return torch.from_numpy(self._dataset.chips_NHWC[rows])

    def augment(self, batch: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Return every chip in its own random view or distortion."""
        return augment(batch, self._member.augmentation, generator)


class FrozenInputs(_MemberInputs):
    """The learning part of a network on the cached output of the frozen one."""

    def __init__(self, run: Run, member: MemberConfig, dataset: Dataset) -> None:
        if member.augmentation == "lossy":
            raise ValueError(
                f"{member.name}: freeze={member.freeze!r} works on cached views; use "
                "augmentation='views' or freeze='stem'"
            )
        super().__init__(run, member, dataset)
        self._views = cached_features(run, member, dataset)

    def seen(self, rows: Rows, index: int) -> torch.Tensor:
        """Return float32 maps (B,f,h,w)."""
        return _as_map(self._views[index][rows])

    def drawn(self, rows: Rows, generator: torch.Generator) -> torch.Tensor:
        """Return float32 maps (B,f,h,w), each of a view drawn for it alone."""
        views_B = torch.zeros(len(rows), dtype=torch.long)
        if self._member.augmentation == "views":
            views_B = torch.randint(len(self._views), (len(rows),), generator=generator)
        return _as_map(np.stack([self._views[index][row] for index, row in zip(views_B, rows, strict=True)]))

    def augment(self, batch: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Return the batch: its views were drawn."""
        return batch

    def _net(self, *, pretrained: bool) -> ChipNet:
        return learning_part(super()._net(pretrained=pretrained), self._member)


def _as_map(map_Bhwf: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(map_Bhwf).permute(0, 3, 1, 2).float()
