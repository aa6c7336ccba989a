"""Which part of a network does not learn, and how to compute that part once for all epochs.

`frozen_to` names a module: it and everything before it stay as ImageNet left them. Before
means registered earlier, which is the order in which timm's networks run; `check_cut` makes
sure of it.

Shape suffixes: B chips, H height, W width, C bands, f, h, w map at the cut.
"""

from copy import deepcopy

import torch
from torch import nn

from training.config.schema import MemberConfig
from training.network.backbone import Backbone
from training.network.model import ChipNet

MAX_CUT_DIFFERENCE = 1e-3


def freeze(net: ChipNet, member: MemberConfig, epoch: int) -> None:
    """Stop the gradients and the batch statistics of what does not learn in this epoch."""
    if member.freeze == "stem":
        still = [getattr(parent, name) for parent, name in _up_to_cut(net, member)]
    elif member.freeze == "staged" and epoch < member.staged_epochs:
        still = [net.backbone]
    else:
        still = []
    net.requires_grad_(True)
    for module in still:
        module.requires_grad_(False).eval()
    if member.freeze == "stem":  # a transformer's own tokens and positions enter before its first block
        for parameter in net.backbone.net.parameters(recurse=False):  # type: ignore[union-attr]
            parameter.requires_grad_(False)


class FrozenPart(nn.Module):
    """Chips → what the learning part starts from: the map at the cut, or the pooled features."""

    def __init__(self, net: ChipNet, member: MemberConfig) -> None:
        super().__init__()
        self.net = net
        self.pooled = member.freeze == "backbone"
        if not self.pooled:
            parent, name = _up_to_cut(net, member)[-1]
            getattr(parent, name).register_forward_hook(_stop)

    def forward(self, chips_BHWC: torch.Tensor) -> torch.Tensor:
        """Return (B,f,h,w); pooled features are a map of one place."""
        try:
            map_BFhw = self.net.feature_map(chips_BHWC)
        except _ReachedError as reached:
            return reached.output
        return map_BFhw.mean(dim=(2, 3), keepdim=True)


def learning_part(net: ChipNet, member: MemberConfig) -> ChipNet:
    """Turn a network into the same one without its frozen part, for inputs from `FrozenPart`.

    What is left keeps its weights' names.
    """
    net.preprocessing = nn.Identity()
    if member.freeze == "backbone":
        net.backbone = nn.Identity()
    else:
        for parent, name in _up_to_cut(net, member):
            setattr(parent, name, nn.Identity())
    return net


def check_cut(whole: ChipNet, member: MemberConfig, chips_BHWC: torch.Tensor) -> None:
    """Compare a network with its two parts run one after the other.

    Raises:
        ValueError: it cannot be cut there.
    """
    frozen, learning = FrozenPart(deepcopy(whole), member), learning_part(deepcopy(whole), member)
    with torch.inference_mode():
        expected = whole.eval().feature_map(chips_BHWC).mean(dim=(2, 3))
        try:
            found = learning.eval().feature_map(frozen.eval()(chips_BHWC)).mean(dim=(2, 3))
            same = bool((found - expected).abs().max() <= MAX_CUT_DIFFERENCE * expected.abs().max())
        except (AttributeError, RuntimeError, TypeError, ValueError):  # it does not even run
            same = False
    if not same:
        raise ValueError(
            f"{whole.name}: its modules do not run in a row up to the cut; name another `frozen_to`, or "
            "use freeze='stem' or 'backbone'"
        )


class _ReachedError(Exception):
    def __init__(self, output: torch.Tensor) -> None:
        self.output = output


def _stop(module: nn.Module, inputs: object, output: torch.Tensor) -> None:
    raise _ReachedError(output)


def _up_to_cut(net: ChipNet, member: MemberConfig) -> list[tuple[nn.Module, str]]:
    """Return every module before the cut and the one at it, each as parent and name."""
    if not isinstance(net.backbone, Backbone):
        raise ValueError(
            f"{member.name}: late fusion cannot be frozen in part; use freeze='none' or 'backbone'"
        )
    stages = net.backbone.stages()
    cut = member.frozen_to or (stages[0] if member.freeze == "stem" else stages[-2])
    found: list[tuple[nn.Module, str]] = []
    parent: nn.Module = net.backbone.net
    for part in cut.split("."):
        names = [name for name, _ in parent.named_children()]
        if part not in names:
            raise ValueError(f"{member.name}: no module {cut!r}; stages are {', '.join(stages)}")
        found += [(parent, name) for name in names[: names.index(part)]]
        last, parent = parent, getattr(parent, part)
    return [*found, (last, part)]
